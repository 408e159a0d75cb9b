"""Run states of desktops as administrators change them, without a pool or a user in the dark.

A desktop that a pool or a job has in hand is left to them. One that is nobody's is in our hands
while it is saved, stopped or paused, as if its pool prepared it: whoever comes waits. When this
dies it is prepared anew. One of a pool that is started is made fresh first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.hosts import Hosts
from openrdms.services.pool_rules import find_rules
from openrdms.services.preparation import is_untouched

_SHUTDOWN_SECONDS = 20.0
"""How long a guest may take to shut down before it is switched off; less than a client waits."""

_PATIENCE = 15.0
"""How long a desktop that is being prepared is waited for."""

_SUSPENDED = 32769
"""Saved, in the numbers of Hyper-V v1 (facts c.5)."""

Prepare = Callable[[DesktopUse], None]
"""Makes an UNREADY desktop of a pool fresh and returns when it runs (``Pools.prepare``)."""


class RunStates:
    """Safe from any thread."""

    def __init__(
        self, store: ports.Store, hosts: Hosts, uses: DesktopUses, prepare: Prepare
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._uses = uses
        self._prepare = prepare

    def change(self, record: Desktop, state: int) -> None:
        """Bring a desktop to 2 running, 3 stopped, 6 or 32769 saved, 32768 paused.

        Stopping switches off what will not shut down, and drops what was saved. Being so already
        is fine. InvalidOperation where no way leads there from the state it is in, while a
        job or a pool has it in work, or when somebody has just got it; InvalidParameter for what
        is no run state to ask for.
        """
        wanted = accept_state(state)
        host = self._hosts.get(record.host)
        use = self._await_rest(record.name)
        if use and wanted == VmState.RUNNING:
            self._start(host, use)
        elif use and use.use in (Use.READY, Use.UNREADY):
            self._change_free(host, use, wanted)
        else:
            if use and wanted != VmState.SAVED:
                self._leave_off(use)
                self._uses.announce([use.name])
            _CHANGES[wanted](host, record.name)
            if use and wanted != VmState.SAVED:
                self._leave_off(use)  # its first start may have ended meanwhile

    def _await_rest(self, name: str) -> DesktopUse | None:
        """The use of a desktop that nobody has in work. InvalidOperation when that lasts."""
        changed = threading.Event()
        end = self._uses.subscribe(
            lambda use: changed.set() if use.name == name else None,
            lambda key: key == name.casefold(),
        )
        deadline = time.monotonic() + _PATIENCE
        try:
            while True:
                changed.clear()
                use = self._store.find_use(name)
                if use is None or use.use not in (Use.PREPARING, Use.WORK):
                    return use
                left = deadline - time.monotonic()
                if use.use is Use.WORK or left <= 0:
                    raise errors.InvalidOperation(f"desktop {name} is in work")
                changed.wait(left)
        finally:
            end()

    def _start(self, host: ports.Host, use: DesktopUse) -> None:
        if use.use is Use.UNREADY and self._is_prepared(use):
            self._prepare(use)
            return
        host.start(use.name)
        if use.saved:
            self._uses.turn(use, use.use, saved=False)

    def _change_free(self, host: ports.Host, use: DesktopUse, wanted: int) -> None:
        """Unless a spare was saved as it was, it is prepared before anybody gets it."""
        mine = None if use.claim else self._uses.turn(use, Use.PREPARING)
        if mine is None:
            raise errors.InvalidOperation(f"desktop {use.name} has just changed hands")
        after = Use.UNREADY
        try:
            if wanted != VmState.SAVED:
                self._leave_off(use)
            elif use.use is Use.READY and not use.saved and not is_untouched(host, use):
                raise errors.InvalidOperation(f"somebody has been on {use.name}")
            _CHANGES[wanted](host, use.name)
            after = use.use if wanted == VmState.SAVED else after
        finally:
            saved = after is Use.READY
            self._uses.give_back(mine, after, saved=saved, fresh=use.fresh)

    def _leave_off(self, use: DesktopUse) -> None:
        """Keep its pool from starting it again before somebody needs it."""
        if self._is_prepared(use):
            self._store.change_desktop(use.name, _as_left_off)

    def _is_prepared(self, use: DesktopUse) -> bool:
        """Whether a pool makes it fresh before anybody gets it."""
        rules = find_rules(self._store, use.collection)
        return rules is not None and rules.pooled and not use.adopted


def accept_state(state: int) -> int:
    """The VmState that is asked for. InvalidParameter when there is none."""
    wanted = VmState.SAVED if state == _SUSPENDED else state
    if wanted not in _CHANGES:
        raise errors.InvalidParameter("VMState", f"{state} is no run state to ask for")
    return wanted


def _as_left_off(present: Desktop | None) -> Desktop | None:
    return present and replace(present, identity_set=False)


def _stop(host: ports.Host, name: str) -> None:
    vm = host.find_vm(name)
    if vm and vm.state is VmState.SAVED:
        host.destroy(name)
        return
    try:
        host.shut_down(name, _SHUTDOWN_SECONDS)
    except (errors.OperationFailed, errors.GuestUnreachable):
        host.destroy(name)


_CHANGES: Mapping[int, Callable[[ports.Host, str], None]] = {
    VmState.RUNNING: lambda host, name: host.start(name),
    VmState.STOPPED: _stop,
    VmState.SAVED: lambda host, name: host.save(name),
    VmState.PAUSED: lambda host, name: host.pause(name),
}
"""How a desktop is brought to each state. The others of facts c.5 are on the way to one."""
