"""The servers of the deployment and their roles."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from enum import IntFlag

from openrdms.model import errors
from openrdms.services.deployment import Deployment
from openrdms.services.hosts import Hosts


class Role(IntFlag):
    """roleType of Win32_RDMSJoinedNode.GetJoinedNodeCount; 0 asks for all nodes."""

    CONNECTION_BROKER = 1
    SESSION_HOST = 2
    VIRTUALIZATION_HOST = 4


@dataclass(frozen=True)
class Node:
    """A server of the deployment."""

    fqdn: str
    os_version: str
    roles: Role


class Nodes:
    """This service's own machine, the connection broker, and the hypervisor hosts."""

    def __init__(self, deployment: Deployment, hosts: Hosts) -> None:
        self._deployment = deployment
        self._hosts = hosts

    def list_nodes(self) -> list[Node]:
        """The broker first, then hosts. A machine that is both is one node."""
        own = platform.freedesktop_os_release()["PRETTY_NAME"]
        broker = self._deployment.active_server()
        nodes = {broker.casefold(): Node(broker, own, Role.CONNECTION_BROKER)}
        for host in self._hosts.all():
            node = Node(host.name, host.describe().os_version, Role.VIRTUALIZATION_HOST)
            known = nodes.get(host.name.casefold(), node)
            nodes[host.name.casefold()] = replace(known, roles=known.roles | node.roles)
        return list(nodes.values())

    def get_node(self, fqdn: str) -> Node:
        """NotFound."""
        for node in self.list_nodes():
            if node.fqdn.casefold() == fqdn.casefold():
                return node
        raise errors.NotFound(f"{fqdn!r} is no server of this deployment")

    def count_nodes(self, role_type: int) -> int:
        """How many nodes have one of the roles in the bit field. InvalidParameter."""
        if role_type & ~int(~Role(0)):
            raise errors.InvalidParameter("roleType", f"{role_type} is not made of 1, 2 and 4")
        wanted = Role(role_type or int(~Role(0)))
        return sum(1 for node in self.list_nodes() if node.roles & wanted)
