"""Whose an RDP connection is, and where it leads: from a routing token to a guest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openrdms.model import errors
from openrdms.model.rdp_token import RdpToken
from openrdms.model.reason import Wait
from openrdms.security.audit_log import AuditLog
from openrdms.security.audited_change import AuditedChange
from openrdms.security.rdp_token import RdpTokens
from openrdms.services.brokering import Brokering, Connection
from openrdms.services.hosts import Hosts
from openrdms.services.live_connections import LiveConnections

WAIT_SECONDS = 20.0
"""How long a client may wait for its desktop in one connection; it may try again."""

SCHEME = "rdp"
"""What the audit log calls a refusal."""


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
    ) -> None:
        self._tokens = tokens
        self._brokering = brokering
        self._connections = connections
        self._hosts = hosts
        self._audit_log = audit_log

    def open(self, token: str, client: str, cut: Callable[[], None]) -> Way:
        """Where the connection leads; ``cut`` is called, from any thread, when it must end.

        ``client`` is its address. AccessDenied; NotYet; what its host refused.
        """
        found = self._tokens.find(token)
        if found is None:
            self.refuse(client, "no valid routing token")
            raise errors.AccessDenied("no valid routing token")
        given = self._find_desktop(found, client)
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
