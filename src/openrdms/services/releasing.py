"""Desktops that an administrator wants back from whoever has them, or from being apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.model.plan import Plan, PlannedChange, PlannedDesktop
from openrdms.model.reason import ReasonCode
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.hosts import Hosts

LOG_OFF_SECONDS = 20.0
"""What a guest gets to log everybody off; less than a client waits."""

_ASK_SECONDS = 2.0


class Releasing:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        uses: DesktopUses,
        seconds: Callable[[str], float | None] = lambda collection: None,
    ) -> None:
        """``seconds``: what a preparation takes in a collection, None when there is no telling."""
        self._seconds = seconds
        self._store = store
        self._hosts = hosts
        self._uses = uses

    def release(self, name: str, *, force: bool = False) -> DesktopUse:
        """Have a desktop prepared, before anybody gets it, that was put apart or is taken.

        Somebody who is logged on is logged off with ``force``, and the reason to refuse without.
        NotFound; InvalidOperation; HostUnavailable; SessionError when he cannot be logged off.
        """
        use = self._find(name)
        self._make_empty(use, force=force)
        self._uses.turn(use, Use.UNREADY, failures=0, reason="")
        now = self._store.find_use(use.name)  # its user's logoff may have been heard before
        if now is None or (now.use, now.turn) == (Use.TAKEN, use.turn):
            raise errors.InvalidOperation(f"desktop {use.name} has just changed hands")
        return now

    def plan(self, name: str, *, force: bool = False) -> Plan:
        """What ``release`` would do now; nothing changes. Raises as ``release``, but for who cannot
        be logged off.
        """
        use = self._find(name)
        users: list[str] = []
        note = f"{use.holder} has it no more" if use.holder else ""
        if force:
            try:
                users = self._list_users(use)
            except errors.GuestUnreachable:
                note = "its guest does not say who is on it: it is stopped under him"
        else:
            self._make_empty(use, force=False)
        seconds = self._seconds(use.collection)
        desktop = PlannedDesktop(
            use.name, use.host, ReasonCode.AS_ASKED, user=", ".join(users), note=note
        )
        return Plan(
            collection=use.collection,
            action=PlannedChange.RELEASE,
            seconds=None if seconds is None else math.ceil(seconds),
            basis=f"{'never ' if seconds is None else ''}measured: preparation",
            desktops=(desktop,),
        )

    def _find(self, name: str) -> DesktopUse:
        use = self._store.find_use(name)
        if use is None:
            raise errors.NotFound(f"no collection has a desktop called {name!r}")
        if use.use not in (Use.QUARANTINED, Use.TAKEN):
            raise errors.InvalidOperation(f"desktop {use.name} is {use.use} and in nobody's way")
        return use

    def _find_host(self, use: DesktopUse) -> ports.Host | None:
        """None when it does not run: nobody is on it."""
        host = self._hosts.get(use.host)
        vm = host.find_vm(use.name)
        runs = vm is not None and vm.uuid == use.uuid and vm.state is VmState.RUNNING
        return host if runs else None

    def _list_users(self, use: DesktopUse) -> list[str]:
        """Who is logged on, each once. GuestUnreachable; HostUnavailable."""
        host = self._find_host(use)
        with suppress(errors.VmNotRunning):
            if host:
                sessions = host.guest(use.name).list_sessions(_ASK_SECONDS)
                return sorted({session.account for session in sessions})
        return []

    def _make_empty(self, use: DesktopUse, *, force: bool) -> None:
        """What nobody gets may have a guest that says nothing."""
        if force:
            host = self._find_host(use)
            with suppress(errors.GuestUnreachable, errors.VmNotRunning):  # it is stopped next
                if host:
                    empty_guest(host, use.name)
            return
        try:
            users = self._list_users(use)
        except errors.GuestUnreachable as error:
            if use.use is Use.QUARANTINED:
                return
            words = f"{use.holder} may be logged on to {use.name}, whose guest does not answer"
            raise errors.InvalidOperation(f"{words}; Force takes it all the same") from error
        if users:
            words = f"{' and '.join(users)} would be logged off {use.name}, which needs Force"
            raise errors.InvalidOperation(words)


def empty_guest(host: ports.Host, name: str) -> None:
    """Log everybody off. SessionError; HostUnavailable."""
    guest = host.guest(name)
    for session in guest.list_sessions(LOG_OFF_SECONDS):
        guest.log_off(session, LOG_OFF_SECONDS)
