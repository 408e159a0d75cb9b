"""Desktops that were made and left off get their identity when they first run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from fakes.simulated_death import StandingClock
from fakes.small_deployment import HOST1, SmallDeployment, open_small_deployment
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.host import VmInfo
from openrdms.services.first_start import FirstStart


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SmallDeployment]:
    with open_small_deployment(tmp_path) as place:
        yield place


@pytest.fixture
def watcher(place: SmallDeployment) -> Iterator[FirstStart]:
    watcher = FirstStart(place.store, place.hosts)
    yield watcher
    watcher.close()


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def has_identity(place: SmallDeployment, name: str) -> bool:
    record = place.store.find_desktop(name)
    return record is not None and record.identity_set


def test_a_desktop_gets_its_identity_when_its_agent_connects(
    place: SmallDeployment, watcher: FirstStart
) -> None:
    place.make_desktop("vd-1", "farm", identity_set=False)
    watcher.start()
    assert not has_identity(place, "vd-1")
    place.hosts.get(HOST1).start("vd-1")
    assert eventually(lambda: has_identity(place, "vd-1"))


def test_desktops_started_while_nobody_listened_are_found(
    place: SmallDeployment, watcher: FirstStart
) -> None:
    for name in ("vd-1", "vd-2"):
        place.make_desktop(name, "farm", identity_set=False)
    place.hosts.get(HOST1).start("vd-1")
    watcher.start()
    assert eventually(lambda: has_identity(place, "vd-1"))
    assert not has_identity(place, "vd-2")


def test_a_silent_guest_does_not_stop_the_others(
    place: SmallDeployment, watcher: FirstStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openrdms.services.first_start._GUEST_SECONDS", 0.1)
    for name in ("vd-1", "vd-2"):
        place.make_desktop(name, "farm", identity_set=False)
        place.hosts.get(HOST1).start(name)
    simulator.set_fault(place.path, HOST1, "vd-1", "silent")
    watcher.start()
    assert eventually(lambda: has_identity(place, "vd-2"))
    assert not has_identity(place, "vd-1")


def test_a_defect_with_one_does_not_stop_the_others(
    place: SmallDeployment, watcher: FirstStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openrdms.services.first_start._WORKERS", 1)
    for name in ("vd-1", "vd-2"):
        place.make_desktop(name, "farm", identity_set=False)
        place.hosts.get(HOST1).start(name)
    host = place.hosts.get(HOST1)
    really_find = host.find_vm

    def find_vm(name: str) -> VmInfo | None:
        assert name != "vd-1", "a defect"
        return really_find(name)

    monkeypatch.setattr(host, "find_vm", find_vm)
    watcher.start()
    assert eventually(lambda: has_identity(place, "vd-2"))


def test_who_asks_again_as_soon_as_he_is_told_has_it_tried_again(
    place: SmallDeployment, watcher: FirstStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(Future[None]):
        """Who waits for it asks again in the moment in which he is told that it has failed."""

        def set_exception(self, exception: BaseException | None) -> None:
            super().set_exception(exception)
            if exception:
                simulator.set_fault(place.path, HOST1, "vd-1")
                watcher.identify("vd-1")

    monkeypatch.setattr("openrdms.services.first_start._GUEST_SECONDS", 0.1)
    monkeypatch.setattr("openrdms.services.first_start.Future", Impatient)
    place.make_desktop("vd-1", "farm", identity_set=False)
    place.hosts.get(HOST1).start("vd-1")
    simulator.set_fault(place.path, HOST1, "vd-1", "silent")
    with pytest.raises(errors.OperationFailed, match="vd-1 did not take its name and keys"):
        watcher.identify("vd-1")
    assert has_identity(place, "vd-1")


@pytest.mark.parametrize("hold", ["pause", "save"])
def test_a_desktop_held_before_its_agent_came_gets_it_when_it_runs_on(
    tmp_path: Path, hold: str
) -> None:
    now = StandingClock(time.time())
    with open_small_deployment(tmp_path, "boot_ms=300", clock=now.clock()) as place:
        place.make_desktop("vd-1", "farm", identity_set=False)
        watcher = FirstStart(place.store, place.hosts)
        watcher.start()
        host = place.hosts.get(HOST1)
        host.start("vd-1")
        getattr(host, hold)("vd-1")
        now.sleep(0.4)
        time.sleep(0.2)
        assert not has_identity(place, "vd-1")
        host.start("vd-1")
        now.sleep(0.4)
        assert eventually(lambda: has_identity(place, "vd-1"))
        watcher.close()
