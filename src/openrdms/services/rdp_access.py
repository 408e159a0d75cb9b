"""Whose an RDP connection is, and where it leads: from a routing token to a guest.

While the records are away that is the desktop that he has, or his own, if it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openrdms.model import errors
from openrdms.model.host import VmState
from openrdms.model.rdp_token import RdpToken
from openrdms.model.reason import Wait
from openrdms.security.audit_log import AuditLog
from openrdms.security.audited_change import AuditedChange
from openrdms.security.late_records import LateRecords
from openrdms.security.rdp_token import RdpTokens
from openrdms.services.brokering import Brokering, Connection, How
from openrdms.services.hosts import Hosts
from openrdms.services.live_connections import LiveConnections
from openrdms.services.local_copy import LocalCopy

WAIT_SECONDS = 20.0
"""How long a client may wait for its desktop in one connection; it may try again."""

SCHEME = "rdp"
"""What the audit log calls a refusal."""


CONNECTED = "rdp/connect/records away"


class NotYet(errors.RdmsError):
    """His desktop is not ready within the time that his client waits."""


@dataclass(frozen=True)
class Way:
    """A guest that somebody may connect to. ``end`` is to be called when he has left."""

    desktop: str
    address: tuple[str, int]
    end: Callable[[], None]


class RdpAccess:
    """Safe from any thread."""

    def __init__(
        self,
        tokens: RdpTokens,
        brokering: Brokering,
        connections: LiveConnections,
        hosts: Hosts,
        audit_log: AuditLog,
        copy: LocalCopy,
        late_records: LateRecords,
    ) -> None:
        self._copy = copy
        self._late_records = late_records
        self._tokens = tokens
        self._brokering = brokering
        self._connections = connections
        self._hosts = hosts
        self._audit_log = audit_log

    def open(self, token: str, client: str, cut: Callable[[], None]) -> Way:
        """Where the connection leads; ``cut`` is called, from any thread, when it must end.

        ``client`` is its address. AccessDenied; NotYet; what its host refused; RecordsUnavailable.
        """
        found = self._tokens.find(token)
        if found is None:
            self.refuse(client, "no valid routing token")
            raise errors.AccessDenied("no valid routing token")
        try:
            given = self._find_desktop(found, client)
        except errors.RecordsUnavailable:
            known = self._recall(found, client)
            if known is None:
                raise
            given = known
        end = self._connections.hold(
            desktop=given.desktop,
            holder=self._brokering.find_user(found.account, "").holder,
            stay=given.stay,
            account=found.account,
            close=cut,
        )
        try:
            address = self._hosts.get(given.host).rdp_address(given.desktop)
        except BaseException:
            end()
            raise
        return Way(given.desktop, address, end)

    def refuse(self, client: str, reason: str) -> None:
        """Record that somebody was not let in. OperationFailed."""
        self._audit_log.record_refusal("", client, SCHEME, reason)

    def _find_desktop(self, token: RdpToken, client: str) -> Connection:
        user = self._brokering.find_user(token.account, "")
        on = {"CollectionAlias": token.collection}
        with AuditedChange(self._audit_log, token.account, client, "rdp/connect", on=on, values={}):
            answer = self._brokering.connect(user, token.collection, WAIT_SECONDS)
            if isinstance(answer, Wait):
                raise NotYet(answer.words)
            return answer

    def _recall(self, token: RdpToken, client: str) -> Connection | None:
        alias = token.collection.casefold()
        uses = self._copy.list(token.account)
        use = next((one for one in uses if one.collection.casefold() == alias), None)
        vm = self._hosts.get(use.host).find_vm(use.name) if use else None
        if use is None or vm is None or (vm.uuid, vm.state) != (use.uuid, VmState.RUNNING):
            return None
        if not self._copy.move_in(use.name, token.account):
            return None
        on = {"CollectionAlias": token.collection}
        self._late_records.note(token.account, client, CONNECTED, **on)
        return Connection(use.name, use.host, How.OWN, use.stay)
