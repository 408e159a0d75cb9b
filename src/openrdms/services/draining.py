"""Empties hosts that an administrator wants to maintain.

From the moment that it is set no desktop is made or prepared there. What can go on at another host
that sees the same disks goes there, with its user; what cannot stays until its user logs off, and
is not started again; spares are stopped at once. That a host is to be empty is a setting: whoever
starts later goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import HostSettings
from openrdms.model.plan import Plan, PlannedChange, PlannedDesktop
from openrdms.model.reason import ReasonCode, explain_refusal
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_states import HostStates
from openrdms.services.hosts import Hosts
from openrdms.services.moving_desktops import (
    UNMEASURED,
    MovingDesktops,
    Target,
    Targets,
    describe_target,
)

_AGAIN = 30.0
"""Seconds after which what a host refused is tried again when nothing was heard meanwhile."""

_log = structlog.get_logger(__name__)


class Draining:
    """Safe from any thread. ``may`` says whether this service is the one that does it."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        uses: DesktopUses,
        moving: MovingDesktops,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._uses = uses
        self._moving = moving
        self._may = may
        self._closed = False
        self._lock = threading.Lock()
        self._wakes: dict[str, threading.Event] = {}
        """By the name of a host that is being emptied by a thread."""

    def start(self, states: HostStates) -> None:
        """Go on with what was begun, and hear of what is set from now on."""
        self._uses.subscribe(self._note_use, lambda _name: bool(self._wakes))
        states.subscribe(self.note_settings)
        for host in self._hosts.all():
            self.note_settings(host.name, self._store.find_host_settings(host.name))

    def close(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._closed = True
            for wake in self._wakes.values():
                wake.set()

    def note_settings(self, host: str, settings: HostSettings) -> None:
        """What is set for a host has changed."""
        with self._lock:
            wake = self._wakes.get(host)
            if wake:
                wake.set()
            elif settings.drain and not self._closed:
                self._wakes[host] = threading.Event()
                name = f"drain-{host}"
                threading.Thread(target=self._run, args=(host,), name=name, daemon=True).start()

    def _note_use(self, use: DesktopUse) -> None:
        wake = self._wakes.get(use.host)
        if wake and not self._moving.is_under_way(use.name):  # else it is we who tell
            wake.set()

    def _run(self, name: str) -> None:
        wake = self._wakes[name]
        while not self._closed:
            wake.clear()
            try:
                if self._may():
                    self._empty(self._hosts.get(name))
            except errors.RdmsError as error:
                _log.warning("cannot empty a host now", host=name, error=str(error))
            except Exception:  # noqa: BLE001  a defect may not end it
                _log.exception("emptying a host failed", host=name)
            wake.wait(_AGAIN)
            with self._lock, suppress(errors.RecordsUnavailable):
                if not self._is_drained(name):
                    del self._wakes[name]
                    return

    def _empty(self, host: ports.Host) -> None:
        """Move what can be moved; stops when that is no longer wanted."""
        targets = self._moving.find_targets(host)
        for record in self._list_records(host):
            if not self._is_drained(host.name):
                return
            try:
                target = _choose(targets, record)
                self._drop_spare(host, record, movable=target is not None)
                if target:
                    self._moving.move(record.name, target.host)
                    targets.note_moved(target)
            except errors.RdmsError as error:
                _log.info("a desktop stays for now", desktop=record.name, reason=str(error))
                targets = self._moving.find_targets(host)  # perhaps it was chosen too late

    def _list_records(self, host: ports.Host) -> Iterator[Desktop]:
        for record in self._store.list_desktops():
            if self._hosts.find(record.host) is host:
                yield record

    def plan(self, name: str, *, drain: bool = True) -> Plan:
        """What would come of what is on that host if it were to be emptied now, or no longer
        (``drain`` is False); nothing changes. NotFound.
        """
        host = self._hosts.get(name)
        targets = self._moving.find_targets(host)
        records = self._list_records(host) if drain else ()
        desktops = [self._foresee(host, targets, record) for record in records]
        moved = targets.moved
        return Plan(
            collection="",
            action=PlannedChange.DRAIN,
            seconds=None if moved else 0,
            basis=UNMEASURED if moved else "nothing moves",
            hosts=tuple(
                describe_target(self._hosts.get(one), moved)
                for one in sorted({target.host for target in moved})
            ),
            desktops=tuple(desktops),
        )

    def _foresee(self, host: ports.Host, targets: Targets, record: Desktop) -> PlannedDesktop:
        use = self._store.find_use(record.name)
        holder = use.holder if use and use.use is Use.TAKEN else ""
        try:
            target = targets.choose(record.name)
            note = "is stopped first"
            if self._find_spare(record, movable=True) is None:
                note = self._moving.plan(record.name, target.host).desktops[0].note
            targets.note_moved(target)
            return PlannedDesktop(record.name, target.host, ReasonCode.LEAST_LOADED, note=note)
        except errors.NoRoom as refusal:
            spare = self._find_spare(record, movable=False)
            note = f"{'is stopped' if spare else 'stays'}: {refusal}"
            code = ReasonCode.USER_LOGGED_ON if holder else explain_refusal(refusal)
        except errors.RdmsError as error:
            note, code = f"stays: {error}", explain_refusal(error)
        return PlannedDesktop(record.name, host.name, code, awaited=holder, note=note)

    def _is_drained(self, host: str) -> bool:
        return self._store.find_host_settings(host).drain

    def _drop_spare(self, host: ports.Host, record: Desktop, *, movable: bool) -> None:
        """Stop a spare that cannot move as it is: nobody's work is in it, and it is prepared anew
        where it is then.
        """
        spare = self._find_spare(record, movable=movable)
        if spare and self._uses.turn(spare, Use.UNREADY, saved=False):
            host.destroy(record.name, record.uuid)

    def _find_spare(self, record: Desktop, *, movable: bool) -> DesktopUse | None:
        """The use of a spare that is saved, or for which there is no other host."""
        use = self._store.find_use(record.name)
        if use is None or use.use is not Use.READY or use.adopted or use.claim:
            return None
        return use if use.saved or not movable else None


def _choose(targets: Targets, record: Desktop) -> Target | None:
    """None when no other host that sees its disks has room."""
    try:
        return targets.choose(record.name)
    except errors.NoRoom as refusal:
        _log.info("no other host for a desktop", desktop=record.name, reason=str(refusal))
        return None
