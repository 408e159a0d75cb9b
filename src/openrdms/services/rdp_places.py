"""Where RDP files lead: to desktops by our relay, to session hosts by their own names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from openrdms.model import errors
from openrdms.model.assignment import AssignmentFilter
from openrdms.model.rdp_file import RDP_PORT
from openrdms.model.session_host import ServerState, SessionHost
from openrdms.model.setting import CLIENT_ACCESS_NAME
from openrdms.security.rdp_token import RdpTokens
from openrdms.services.assignments import Assignments
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.session_hosts import SessionHosts
from openrdms.services.settings import Settings

_AWAY = frozenset(
    {
        *(ServerState.DOWN, ServerState.HIBERNATED, ServerState.STOPPED),
        *(ServerState.INVALID, ServerState.STOPPING),
    }
)


@dataclass(frozen=True)
class Relay:
    """Ours, as clients reach it: by one of ``names``, those of the web port's certificate."""

    names: Collection[str]
    port: int


@dataclass(frozen=True)
class Place:
    """What a file says of where it leads; ``find_property`` reads a key of the collection."""

    alias: str
    name: str
    address: str
    port: int
    routing_token: str
    find_property: Callable[[str], int | str | None]


@dataclass(frozen=True)
class Parts:
    """What is asked."""

    collections: Collections
    session_hosts: SessionHosts
    assignments: Assignments
    settings: Settings
    deployment: Deployment
    tokens: RdpTokens


class RdpPlaces:
    """Safe from any thread."""

    def __init__(self, parts: Parts, relay: Relay) -> None:
        self._parts = parts
        self._relay = relay

    def find(self, account: str, alias: str, reached_by: str, life: timedelta) -> Place:
        """Where an account comes to a collection of either kind, by a token that is new.

        NotFound; AccessDenied for who has no server of a personal collection; InvalidOperation
        while none of a pooled one takes sessions.
        """
        try:
            found = self._parts.collections.get(alias)
        except errors.NotFound:
            return self._find_server(account, alias)
        return Place(
            alias=found.alias,
            name=found.name,
            address=self._address(reached_by),
            port=self._relay.port,
            routing_token=self._parts.tokens.issue(account, found.alias, life),
            find_property=lambda key: self._parts.collections.find_property(found.alias, key),
        )

    def forget(self, account: str) -> None:
        """No token that an account has leads anywhere any more."""
        self._parts.tokens.revoke(account)

    def _address(self, reached_by: str) -> str:
        is_set = self._parts.settings.find(CLIENT_ACCESS_NAME)
        if is_set or reached_by not in self._relay.names:
            return self._parts.deployment.client_access_name()
        return reached_by

    def _find_server(self, account: str, alias: str) -> Place:
        hosts = self._parts.session_hosts
        found = hosts.get_collection(alias)
        pooled = not found.type.is_personal
        server = self._choose(account, alias) if pooled else self._own(account, alias)
        return Place(
            alias=found.alias,
            name=found.name,
            address=server,
            port=RDP_PORT,
            routing_token="",
            find_property=lambda key: hosts.find_collection_property(found.alias, key),
        )

    def _own(self, account: str, alias: str) -> str:
        wanted = AssignmentFilter(collection=alias, user=account)
        assigned = self._parts.assignments.list_assignments(wanted)
        if not assigned:
            raise errors.AccessDenied(f"no server of {alias!r} is assigned to {account}")
        return assigned[0].desktop

    def _choose(self, account: str, alias: str) -> str:
        """The same for an account as long as it takes sessions: he comes back to his own."""
        servers = [
            one.name
            for one in self._parts.session_hosts.list_servers(alias)
            if self._takes_sessions(one)
        ]
        if not servers:
            raise errors.InvalidOperation(f"no server of {alias!r} takes sessions now")
        return min(servers, key=lambda name: _rank(account, name))

    def _takes_sessions(self, server: SessionHost) -> bool:
        drained = self._parts.session_hosts.find_server_property(server.name, "DrainMode")
        return server.state not in _AWAY and not drained


def _rank(account: str, server: str) -> bytes:
    return hashlib.sha256(f"{account}\n{server}".casefold().encode()).digest()
