"""Win32_VirtualDesktopSession."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.model.session import Session
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, find_text, get_number, get_text, wanted_text
from openrdms.services.sessions import Sessions


class VirtualDesktopSession(ServiceProvider):
    """Users logged on inside running desktops. Methods return Win32 codes (facts a.6)."""

    cim_class = "Win32_VirtualDesktopSession"

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.methods = {
            "SendMessage": self._send_message,
            "Disconnect": self._disconnect,
            "Logoff": self._log_off,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        collection, vm = wanted_text(where, "CollectionId"), wanted_text(where, "VMName")
        return map(_render, self._sessions.list(collection=collection, vm=vm))

    def do_get(self, keys: Values) -> Values:
        return _render(self._sessions.get(*_parse_keys(keys)))

    def do_require(self, keys: Values) -> None:
        """Nothing: a session that has gone is for the method to say, as 1168."""

    def _send_message(self, call: Call) -> None:
        title = find_text(call.parameters, "Title")
        text = find_text(call.parameters, "Message")
        self._sessions.send_message(*_parse_keys(call.keys), title, text)

    def _disconnect(self, call: Call) -> None:
        self._sessions.disconnect(*_parse_keys(call.keys))

    def _log_off(self, call: Call) -> None:
        self._sessions.log_off(*_parse_keys(call.keys))


def _parse_keys(keys: Values) -> tuple[str, int]:
    return get_text(keys, "VMHostName"), get_number(keys, "SessionId")


def _render(session: Session) -> Values:
    return {
        "VMHostName": session.host,
        "SessionId": session.session_id,
        "VMName": session.vm,
        "ConnectState": session.state,
        "UserName": session.user,
        "DomainName": session.domain,
        "CollectionId": session.collection,
        "ClientMachineName": session.client,
    }
