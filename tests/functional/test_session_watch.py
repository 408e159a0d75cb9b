"""Who is logged on where: on hosts that tell nothing, with guests that answer nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.pool_rig import HOST, PoolRig
from fakes.provisioning_rig import POOL
from live.slowdown import slowdown
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmEvent, VmEventKind
from openrdms.ports import Host

_TOLD = (VmEventKind.LOGGED_ON, VmEventKind.LOGGED_OFF)


class Mute:
    """A host whose guests must be asked, as those of libvirt."""

    tells_sessions = False

    def __init__(self, host: Any) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Any:
        return self._host.subscribe(
            lambda event: callback(event) if event.kind not in _TOLD else None
        )


def mute(host: Host) -> Host:
    muted: Any = Mute(host)
    return muted


class Slow(Mute):
    """So slow that the user logs on after it told that nobody is on, before it tells its mark."""

    def __init__(self, host: Any) -> None:
        super().__init__(host)
        self.expected: set[str] = set()

    def guest(self, name: str) -> Any:
        guest = self._host.guest(name)
        if name in self.expected:
            tell_mark = guest.logon_mark
            guest.logon_mark = lambda timeout: (self._log_on(name), tell_mark(timeout))[1]
        return guest

    def _log_on(self, name: str) -> None:
        if name in self.expected:
            self.expected.discard(name)
            self._host.guest(name).log_on("alice")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PoolRig]:
    rig = PoolRig(tmp_path, wrap_host=mute).resume()
    yield rig
    rig.close()


def reopen(rig: PoolRig, directory: Path, **options: Any) -> PoolRig:
    rig.close()
    return PoolRig(directory, **options)


def test_guests_are_asked_where_hosts_do_not_tell(rig: PoolRig) -> None:
    rig.fill(2)
    taken = rig.take()
    rig.log_on(taken.name)
    rig.wait_until(lambda: rig.use(taken.name).seen)
    [spare] = rig.store.list_uses(POOL, use=Use.READY)
    rig.log_on(spare.name, "mallory")
    rig.wait_for(spare.name, Use.TAKEN)
    rig.log_off(taken.name)
    rig.wait_for(taken.name, Use.READY)


def test_who_comes_and_goes_between_two_questions_has_been_there(rig: PoolRig) -> None:
    rig.fill(1)
    taken = rig.take()
    rig.log_on(taken.name)
    rig.log_off(taken.name)
    rig.wait_for(taken.name, Use.READY)
    assert rig.use(taken.name).fresh > taken.fresh


def test_who_logs_on_between_two_questions_has_not_gone(tmp_path: Path) -> None:
    slow: list[Slow] = []

    def slow_down(host: Host) -> Any:
        slow.append(Slow(host))
        return slow[-1]

    rig = PoolRig(tmp_path, wrap_host=slow_down).resume()
    rig.fill(1)
    taken = rig.take()
    for host in slow:
        host.expected.add(taken.name)
    rig.wait_until(lambda: rig.use(taken.name).seen)
    after = rig.use(taken.name)
    assert (after.use, after.stay) == (Use.TAKEN, taken.stay)
    rig.close()


def test_silence_is_no_logoff_and_holds_up_nobody(rig: PoolRig) -> None:
    rig.fill(10)
    taken = [rig.take(f"corp\\user{number}") for number in range(10)]
    for use in taken:
        rig.log_on(use.name)
    rig.wait_until(lambda: all(rig.use(use.name).seen for use in taken))
    for use in taken[1:]:
        rig.fault(use.name, "silent")
    with slowdown() as machine:
        rig.log_off(taken[0].name)
        began = time.monotonic()
        rig.wait_for(taken[0].name, Use.READY)
        took = time.monotonic() - began
    assert took < 16 * machine.mean  # each of the silent ones takes 2 s
    for use in taken[1:]:
        assert rig.use(use.name).use is Use.TAKEN
        rig.fault(use.name, "")
        rig.log_off(use.name)
    rig.wait_until(lambda: rig.store.count_uses(POOL) == {Use.READY: 10})


def test_a_host_that_is_away_is_no_logoff(rig: PoolRig) -> None:
    rig.fill(1)
    taken = rig.take()
    rig.log_on(taken.name)
    rig.wait_until(lambda: rig.use(taken.name).seen)
    simulator.set_fault(rig.simulator, HOST, "", "down")
    rig.wait_until(lambda: rig.health.is_away(HOST))
    assert rig.use(taken.name).use is Use.TAKEN
    simulator.set_fault(rig.simulator, HOST, "", "")
    rig.wait_until(lambda: not rig.health.is_away(HOST))
    assert rig.use(taken.name).use is Use.TAKEN
    rig.log_off(taken.name)
    rig.wait_for(taken.name, Use.READY)


def test_who_came_between_two_looks_is_found_when_the_desktop_is_taken(rig: PoolRig) -> None:
    rig.fill(2)
    rig.watch.close()
    for name in ("pool-1", "pool-2"):
        rig.log_on(name, "mallory")
    rig.log_off("pool-1")
    for user in ("alice", "bob"):
        assert not rig.watch.confirm(rig.take(f"corp\\{user}"))
    assert rig.use("pool-2").holder == "pool-2\\mallory"
    ready = rig.wait_for("pool-1", Use.READY)
    assert ready.turn == 1
    assert rig.watch.confirm(rig.take())


def test_what_happened_while_nobody_watched(tmp_path: Path) -> None:
    rig = PoolRig(tmp_path).resume().fill(4)
    left, stays = rig.take("corp\\left"), rig.take("corp\\stays")
    for use in (left, stays):
        rig.log_on(use.name)
    rig.wait_until(lambda: rig.use(left.name).seen and rig.use(stays.name).seen)
    visited, untouched = (use.name for use in rig.store.list_uses(POOL, use=Use.READY))
    before = rig.use(untouched)
    rig = reopen(rig, tmp_path)
    rig.log_off(left.name)
    rig.log_on(visited, "mallory")
    rig.log_off(visited)
    assert not rig.watch.is_checked(POOL)
    rig.resume()
    rig.wait_until(lambda: rig.watch.is_checked(POOL))
    assert rig.use(stays.name).use is Use.TAKEN
    assert rig.use(untouched) == before
    rig.wait_until(lambda: rig.use(visited).fresh > before.fresh)
    rig.wait_until(lambda: rig.store.count_uses(POOL) == {Use.READY: 3, Use.TAKEN: 1})
    rig.close()


def test_hosts_that_come_back_together_are_looked_at_together(rig: PoolRig) -> None:
    """Not each by a list of all desktops: fifty such lists make the hosts seem away again."""
    list_uses, lists, go_on = rig.store.list_uses, [], threading.Event()

    def count(*args: Any, **conditions: Any) -> list[DesktopUse]:
        if not args and not conditions:
            lists.append(1)
            go_on.wait(60)
        return list_uses(*args, **conditions)

    rig.store.list_uses = count  # type: ignore[method-assign]  # counts
    for _ in range(20):
        for host in rig.hosts.all():
            rig.health.note_failure(host.name, errors.HostUnavailable("away"))
            rig.health.note_success(host.name)
    rig.wait_until(lambda: len(lists) > 0)
    time.sleep(0.5)
    go_on.set()
    time.sleep(0.5)
    assert len(lists) <= 3


def test_a_long_list_holds_up_no_start_and_gives_nobody_what_was_not_looked_at(
    tmp_path: Path,
) -> None:
    """Of 100,000 desktops the list takes tens of seconds; it may also fail at first."""
    rig = PoolRig(tmp_path).resume().fill(2)
    visited = rig.use("pool-1")
    rig = reopen(rig, tmp_path)
    rig.log_on(visited.name, "mallory")
    rig.log_off(visited.name)
    list_uses, go_on = rig.store.list_uses, threading.Event()
    away = errors.RecordsUnavailable("records: away")
    failures = iter([away, away, ValueError("a defect")])

    def wait(*args: Any, **conditions: Any) -> list[DesktopUse]:
        if not args and not conditions:
            assert go_on.wait(60)
            if failure := next(failures, None):
                raise failure
        return list_uses(*args, **conditions)

    rig.store.list_uses = wait  # type: ignore[method-assign]  # slow, then away, then there
    rig.resume()
    rig.health.note_failure(HOST, errors.HostUnavailable("away"))
    rig.health.note_success(HOST)
    time.sleep(0.3)
    checked_early = rig.watch.is_checked(POOL)
    go_on.set()
    assert not checked_early
    rig.wait_until(lambda: rig.watch.is_checked(POOL))
    rig.wait_until(lambda: rig.use(visited.name).fresh > visited.fresh)
    rig.wait_until(lambda: rig.store.count_uses(POOL) == {Use.READY: 2})
    rig.close()
