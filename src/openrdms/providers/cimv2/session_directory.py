"""Win32_SessionDirectorySessionEx."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from openrdms.model import errors
from openrdms.model.session import Session
from openrdms.providers.service_provider import ServiceProvider, Where
from openrdms.providers.values import Values, get_number, get_text, wanted_text
from openrdms.services.collections import Collections
from openrdms.services.sessions import Sessions


class SessionDirectory(ServiceProvider):
    """User sessions as connection brokers list them (facts a.2).

    ServerName is the desktop. HostServer and UnifiedSessionId are the keys that the session has
    as Win32_VirtualDesktopSession, whose methods act on it. What guests do not tell is NULL: the
    server's address, protocol, application, screen, when a client left, and where they cannot
    tell (``GuestSession``) the other times.
    """

    cim_class = "Win32_SessionDirectorySessionEx"

    def __init__(self, sessions: Sessions, collections: Collections) -> None:
        self._sessions = sessions
        self._collections = collections

    def do_list(self, where: Where) -> Iterable[Values]:
        collection, vm = wanted_text(where, "CollectionAlias"), wanted_text(where, "ServerName")
        return self._render(self._sessions.list(collection=collection, vm=vm))

    def do_get(self, keys: Values) -> Values:
        server, session_id = get_text(keys, "ServerName"), get_number(keys, "SessionId")
        for values in self._render(self._sessions.list(vm=server)):
            if values["SessionId"] == session_id:
                return values
        raise errors.NotFound(f"{server} has no session {session_id}")

    def _render(self, sessions: Iterable[Session]) -> Iterable[Values]:
        types = {found.alias: int(found.type) for found in self._collections.list_collections()}
        return (_describe(session, types) for session in sessions)


def _describe(session: Session, types: Mapping[str, int]) -> Values:
    return {
        "ServerName": session.vm,
        "SessionId": session.session_id,
        "UserName": session.user,
        "DomainName": session.domain,
        "CreateTime": session.since,
        "SessionState": session.state,
        "CollectionAlias": session.collection,
        "CollectionType": types.get(session.collection),
        "UnifiedSessionId": session.session_id,
        "HostServer": session.host,
        "IdleTime": None if session.idle is None else _milliseconds(session.idle),
        "RemoteFxEnabled": False,
    }


def _milliseconds(idle: timedelta) -> int:
    """As many as the property can say: 49 days."""
    return min(idle // timedelta(milliseconds=1), 2**32 - 1)
