"""The servers of the deployment: those of its services, the hypervisor hosts, what else has joined.

IsRdcb follows from facts: brokers are the machines whose services live. IsRdvh can be set only
where the service has a hypervisor connection, since a VM host is one that gets desktops; where
it is taken, as on a host that was unjoined, new desktops are placed elsewhere. All other flags
are kept as they are set: those roles are carried out by other software.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from openrdms import ports
from openrdms.model import errors, sddl
from openrdms.model.host_name import check_full_name
from openrdms.model.node import Node, Role
from openrdms.services.hosts import Hosts


class Nodes:
    """Rules of Win32_RDMSJoinedNode. Names are compared ignoring case."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        list_brokers: Callable[[], Sequence[str]],
        probe: ports.NodeProbe,
    ) -> None:
        """``list_brokers``: the machines whose services live, this one first."""
        self._store = store
        self._hosts = hosts
        self._list_brokers = list_brokers
        self._probe = probe

    def list_nodes(self) -> list[Node]:
        """Brokers first, this one before all, then hosts, then others. A machine is one node."""
        return [self._describe(node) for node in self._list_known()]

    def get_node(self, fqdn: str) -> Node:
        """NotFound."""
        return self._describe(self._get_known(fqdn))

    def count_nodes(self, role_type: int) -> int:
        """How many nodes have one of the roles in the bit field, 0 for all. InvalidParameter."""
        if role_type & ~int(~Role(0)):
            raise errors.InvalidParameter("roleType", f"{role_type} is not made of 1, 2 and 4")
        known = self._list_known()
        return sum(1 for node in known if node.roles & role_type) if role_type else len(known)

    def join(self, fqdn: str, sid: str) -> None:
        """Take in a machine that answers, or a hypervisor host that was taken out.

        InvalidParameter; AlreadyExists for the name or the SID; HostUnavailable says what was
        tried and what came of it.
        """
        check_full_name("NodeFQDN", fqdn)
        sid_text = _parse_sid(sid)
        host = self._hosts.find(fqdn)
        node = Node(host.name if host else fqdn, sid_text, is_vm_host=host is not None)
        if any(_is(known, node.fqdn) for known in self._list_known()):
            raise errors.AlreadyExists(f"NodeFQDN: {node.fqdn} has joined already")
        if host is None:
            self._probe.require_answer(fqdn)
        elif not host.describe().reachable:
            raise errors.HostUnavailable(f"{host.name}: its hypervisor connection does not answer")
        self._store.join_node(node)

    def unjoin(self, fqdn: str) -> None:
        """Take a node out. InvalidOperation for the broker, and while it carries desktops."""
        node = self._get_known(fqdn)
        if node.is_broker:
            raise errors.InvalidOperation(f"{node.fqdn} is an active broker and cannot leave")
        stays_configured = self._is_host(node.fqdn)

        def leave(present: Node) -> Node | None:
            return replace(present, joined=False, sid=None) if stays_configured else None

        self._store.change_node(self._make_default(node.fqdn), leave)

    def modify(self, fqdn: str, changes: dict[str, tuple[str, Any]]) -> None:
        """Change fields of model.node.Node: by name, the property they are known by and the value.

        InvalidParameter names a flag that this node cannot have; InvalidOperation while desktops
        are on a host that is to have none; NotFound.
        """
        now = self.get_node(fqdn)
        new = {
            field: value for field, (_, value) in changes.items() if getattr(now, field) != value
        }
        if "is_broker" in new:
            name, _ = changes["is_broker"]
            reason = f"the only brokers are where services run: {', '.join(self._list_brokers())}"
            raise errors.InvalidParameter(name, reason)
        if new.get("is_vm_host") and not self._is_host(now.fqdn):
            name, _ = changes["is_vm_host"]
            reason = f"the service has no hypervisor connection to {now.fqdn} (--hypervisor)"
            raise errors.InvalidParameter(name, reason)
        if new:
            self._store.change_node(
                self._make_default(now.fqdn), lambda present: _change(present, new)
            )

    def _list_known(self) -> list[Node]:
        """Without asking anybody."""
        records = {node.fqdn.casefold(): node for node in self._store.list_nodes()}
        brokers = {name.casefold(): name for name in self._list_brokers()}
        names = brokers | {host.name.casefold(): host.name for host in self._hosts.all()}
        known = {key: records.get(key, self._make_default(name)) for key, name in names.items()}
        return [
            self._complete(node, is_broker=key in brokers)
            for key, node in (known | records).items()
            if node.joined
        ]

    def _get_known(self, fqdn: str) -> Node:
        for node in self._list_known():
            if _is(node, fqdn):
                return node
        raise _no_node(fqdn)

    def _make_default(self, name: str) -> Node:
        """What a server is that has no record: a node while its service lives, or when a host."""
        is_host = self._is_host(name)
        is_broker = name.casefold() in map(str.casefold, self._list_brokers())
        return Node(name, joined=is_host or is_broker, is_vm_host=is_host)

    def _complete(self, node: Node, *, is_broker: bool) -> Node:
        """What no record decides."""
        return replace(
            node,
            is_broker=is_broker,
            is_vm_host=node.is_vm_host and self._is_host(node.fqdn),
        )

    def _describe(self, node: Node) -> Node:
        """With the name of its system, if that is not on record and can be learned."""
        if node.os_version is not None:
            return node
        if _is(node, self._list_brokers()[0]):
            return replace(node, os_version=platform.freedesktop_os_release()["PRETTY_NAME"])
        host = self._hosts.find(node.fqdn)
        return replace(node, os_version=host.describe().os_version) if host else node

    def _is_host(self, name: str) -> bool:
        return any(host.name.casefold() == name.casefold() for host in self._hosts.all())


def _change(present: Node, fields: dict[str, Any]) -> Node:
    """NotFound when it has left meanwhile."""
    if not present.joined:
        raise _no_node(present.fqdn)
    return replace(present, **fields)


def _no_node(fqdn: str) -> errors.NotFound:
    return errors.NotFound(f"{fqdn!r} is no server of this deployment")


def _is(node: Node, fqdn: str) -> bool:
    return node.fqdn.casefold() == fqdn.casefold()


def _parse_sid(text: str) -> str | None:
    """None for "": machines of no domain have no SID. InvalidParameter."""
    if not text:
        return None
    if not text.upper().startswith("S-"):  # SDDL would take its two-letter aliases too
        raise errors.InvalidParameter("NodeSID", f"{text!r} does not begin with S-")
    try:
        return sddl.parse_sid(text)
    except sddl.SddlError as error:
        raise errors.InvalidParameter("NodeSID", f"{text!r}: {error}") from error
