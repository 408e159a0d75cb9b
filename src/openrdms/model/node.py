"""Servers of the deployment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag


class Role(IntFlag):
    """roleType of Win32_RDMSJoinedNode.GetJoinedNodeCount; 0 asks for all nodes."""

    CONNECTION_BROKER = 1
    SESSION_HOST = 2
    VIRTUALIZATION_HOST = 4


@dataclass(frozen=True)
class Node:
    """A server and the parts it takes (Win32_RDMSJoinedNode, facts a.7).

    On record are servers that were joined, and what was changed of the others: this machine and
    the hypervisor hosts of the service, which are nodes without a record. ``joined`` is False
    on the record of such a host that was taken out. ``os_version`` is None when nobody knows it.
    """

    fqdn: str
    sid: str | None = None
    os_version: str | None = None
    joined: bool = True
    is_broker: bool = False
    is_gateway: bool = False
    is_licensing: bool = False
    is_vm_host: bool = False
    is_web_access: bool = False
    is_session_host: bool = False
    web_access_certificate: bool = False
    gateway_certificate: bool = False
    redirector_certificate: bool = False
    publishing_certificate: bool = False

    @property
    def roles(self) -> Role:
        """Those that are counted."""
        roles = Role(0)
        if self.is_broker:
            roles |= Role.CONNECTION_BROKER
        if self.is_session_host:
            roles |= Role.SESSION_HOST
        if self.is_vm_host:
            roles |= Role.VIRTUALIZATION_HOST
        return roles

    @property
    def takes_desktops(self) -> bool:
        """Whether new desktops may be placed there."""
        return self.joined and self.is_vm_host
