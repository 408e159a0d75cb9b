"""Desktops that an administrator wants back from whoever has them, or from being apart."""

from __future__ import annotations

from contextlib import suppress

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.hosts import Hosts

LOG_OFF_SECONDS = 20.0
"""What a guest gets to log everybody off; less than a client waits."""

_ASK_SECONDS = 2.0


class Releasing:
    """Safe from any thread."""

    def __init__(self, store: ports.Store, hosts: Hosts, uses: DesktopUses) -> None:
        self._store = store
        self._hosts = hosts
        self._uses = uses

    def release(self, name: str, *, force: bool = False) -> DesktopUse:
        """Have a desktop prepared, before anybody gets it, that was put apart or is taken.

        Somebody who is logged on is logged off with ``force``, and the reason to refuse without.
        NotFound; InvalidOperation; HostUnavailable; SessionError when he cannot be logged off.
        """
        use = self._store.find_use(name)
        if use is None:
            raise errors.NotFound(f"no collection has a desktop called {name!r}")
        if use.use not in (Use.QUARANTINED, Use.TAKEN):
            raise errors.InvalidOperation(f"desktop {use.name} is {use.use} and in nobody's way")
        self._make_empty(use, force=force)
        self._uses.turn(use, Use.UNREADY, failures=0, reason="")
        now = self._store.find_use(use.name)  # its user's logoff may have been heard before
        if now is None or (now.use, now.turn) == (Use.TAKEN, use.turn):
            raise errors.InvalidOperation(f"desktop {use.name} has just changed hands")
        return now

    def _make_empty(self, use: DesktopUse, *, force: bool) -> None:
        """Nobody is on what does not run; what nobody gets may have a guest that says nothing."""
        host = self._hosts.get(use.host)
        vm = host.find_vm(use.name)
        if vm is None or vm.uuid != use.uuid or vm.state is not VmState.RUNNING:
            return
        if force:
            with suppress(errors.GuestUnreachable, errors.VmNotRunning):  # it is stopped next
                empty_guest(host, use.name)
            return
        try:
            sessions = host.guest(use.name).list_sessions(_ASK_SECONDS)
        except errors.GuestUnreachable as error:
            if use.use is Use.QUARANTINED:
                return
            words = f"{use.holder} may be logged on to {use.name}, whose guest does not answer"
            raise errors.InvalidOperation(f"{words}; Force takes it all the same") from error
        except errors.VmNotRunning:
            return
        if sessions:
            users = " and ".join(sorted({session.account for session in sessions}))
            words = f"{users} would be logged off {use.name}, which needs Force"
            raise errors.InvalidOperation(words)


def empty_guest(host: ports.Host, name: str) -> None:
    """Log everybody off. SessionError; HostUnavailable."""
    guest = host.guest(name)
    for session in guest.list_sessions(LOG_OFF_SECONDS):
        guest.log_off(session, LOG_OFF_SECONDS)
