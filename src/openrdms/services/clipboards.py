"""Clipboards of desktops, for who has one: text goes by the guest's agent, not by the screen."""

from __future__ import annotations

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import Use
from openrdms.model.host import GuestSession
from openrdms.services.hosts import Hosts

MAX_TEXT = 64 << 10
"""Characters, each way."""

_SECONDS = 10.0


class Clipboards:
    """Safe from any thread."""

    def __init__(self, store: ports.Store, hosts: Hosts) -> None:
        self._store = store
        self._hosts = hosts

    def read(self, account: str, desktop: str) -> str:
        """The text on it, its beginning when there is much, "" for none.

        AccessDenied for who does not have the desktop; InvalidOperation while nobody is logged on;
        NotSupported where the session has no clipboard; HostUnavailable and SessionError.
        """
        guest, session = self._find(account, desktop)
        return guest.read_clipboard(session, _SECONDS)[:MAX_TEXT]

    def write(self, account: str, desktop: str, text: str) -> None:
        """Put text on it. Raises as ``read``."""
        guest, session = self._find(account, desktop)
        guest.write_clipboard(session, text, _SECONDS)

    def _find(self, account: str, desktop: str) -> tuple[ports.Guest, GuestSession]:
        """The holder's own session, else the first: a guest may know him by another name."""
        use = self._store.find_use(desktop)
        has_it = use and use.use is Use.TAKEN and use.holder.casefold() == account.casefold()
        if use is None or not has_it:
            raise errors.AccessDenied(f"{account} does not have the desktop {desktop}")
        guest = self._hosts.get(use.host).guest(use.name)
        sessions = guest.list_sessions(_SECONDS)
        if not sessions:
            raise errors.InvalidOperation(f"nobody is logged on in {use.name}")
        return guest, min(sessions, key=lambda one: one.user.casefold() != account.casefold())
