"""An administrator changes a desktop just when somebody gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.brokering_rig import BrokeringRig, open_brokering_rig
from fakes.small_deployment import HOST1
from live.service import until
from openrdms.adapters import simulator
from openrdms.adapters.simulator.guest import SimulatorGuest
from openrdms.model import errors
from openrdms.model.collection import CollectionType
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.model.reason import Wait
from openrdms.services.run_states import RunStates

POOLED, AUTO = CollectionType.POOLED, CollectionType.AUTO_PERSONAL


class Interrupted:
    """A host, or its hosts, or a store: ``then`` happens once, right before that call."""

    def __init__(self, real: Any, call: str, then: Callable[[], object]) -> None:
        self._real = real
        self._call = call
        self._then: Callable[[], object] | None = then

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name == "get":
            return lambda host: Interrupted(real(host), self._call, self._once)
        if name != self._call:
            return real

        def interrupted(*args: object) -> object:
            found = real(*args) if name == "find_use" else None
            self._once()
            return found or real(*args)

        return interrupted

    def _once(self) -> None:
        then, self._then = self._then, None
        if then:
            then()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BrokeringRig]:
    with open_brokering_rig(tmp_path) as rig:
        rig.add_collection("pool", POOLED)
        rig.add_collection("own", AUTO)
        yield rig


def change(
    rig: BrokeringRig, state: VmState, *, hosts: Any = None, store: Any = None, name: str = "vd-1"
) -> None:
    def no_pool(use: object) -> None:
        raise AssertionError

    place = rig.place
    record = place.store.find_desktop(name)
    assert record
    states = RunStates(store or place.store, hosts or place.hosts, rig.uses, no_pool)
    states.change(record, state)


def state_of(rig: BrokeringRig, name: str = "vd-1") -> VmState:
    vm = rig.place.hosts.get(HOST1).find_vm(name)
    assert vm
    return vm.state


@pytest.mark.parametrize("state", [VmState.SAVED, VmState.STOPPED, VmState.PAUSED])
def test_who_has_come_since_the_look_keeps_his_desktop(rig: BrokeringRig, state: VmState) -> None:
    rig.add_ready("vd-1")
    ann = rig.add_user("ann")
    store = Interrupted(rig.place.store, "find_use", lambda: rig.connect(ann))
    with pytest.raises(errors.InvalidOperation, match="vd-1 has just changed hands"):
        change(rig, state, store=store)
    assert (rig.use("vd-1").holder, state_of(rig)) == ("ann", VmState.RUNNING)


@pytest.mark.parametrize("collection", ["pool", "own"])
@pytest.mark.parametrize(
    ("state", "call"),
    [(VmState.SAVED, "save"), (VmState.STOPPED, "shut_down"), (VmState.PAUSED, "pause")],
)
def test_who_comes_meanwhile_waits(
    rig: BrokeringRig, collection: str, state: VmState, call: str
) -> None:
    """Else he would be shown a desktop that goes off under him."""
    rig.add_ready("vd-1", collection)
    ann = rig.add_user("ann")
    told: list[object] = []
    come = lambda: told.append(rig.brokering.connect(ann, collection))  # noqa: E731
    change(rig, state, hosts=Interrupted(rig.place.hosts, call, come))
    (wait,) = told
    assert isinstance(wait, Wait), wait
    assert state_of(rig) is state
    assert rig.use("vd-1").use is not Use.PREPARING
    if state is VmState.SAVED or collection == "own":
        assert rig.connect(ann, collection, wait=30).desktop == "vd-1"


def test_a_saved_spare_stays_as_fresh_as_it_was(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    before = rig.use("vd-1")
    change(rig, VmState.SAVED)
    now = rig.use("vd-1")
    assert (now.use, now.saved, now.fresh) == (Use.READY, True, before.fresh)
    change(rig, VmState.SAVED)  # it is so already
    assert rig.use("vd-1").saved


def test_one_that_could_not_be_saved_is_not_handed_on(rig: BrokeringRig) -> None:
    """Nobody knows whether it runs."""
    rig.add_ready("vd-1")
    simulator.set_fault(rig.place.path, HOST1, fault="down")
    with pytest.raises(errors.HostUnavailable):
        change(rig, VmState.SAVED)
    assert rig.use("vd-1").use is Use.UNREADY


def test_it_is_let_go_of_once_records_are_back(
    rig: BrokeringRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be in our hands until the service starts again."""
    rig.add_ready("vd-1")
    real, away = rig.uses.turn, [errors.RecordsUnavailable("away")] * 2

    def turn(use: DesktopUse, *values: Any, **more: Any) -> DesktopUse | None:
        if use.use is Use.PREPARING and away:
            raise away.pop()
        return real(use, *values, **more)

    monkeypatch.setattr(rig.uses, "turn", turn)
    with pytest.raises(errors.RecordsUnavailable):
        change(rig, VmState.SAVED)
    until("it is a spare again", lambda: rig.use("vd-1").use is Use.READY)
    assert rig.use("vd-1").saved


def test_a_spare_that_was_touched_is_not_saved(
    rig: BrokeringRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its guest cannot be asked once it is; where desktops are reset he would leave something."""
    monkeypatch.setattr(simulator.SimulatorHost, "tells_sessions", False)
    rig.place.store.change_collection("pool", lambda one: replace(one, rollback_enabled=True))
    rig.add_ready("vd-1")
    simulator.log_on(rig.place.path, HOST1, "vd-1", "stranger")
    with pytest.raises(errors.InvalidOperation, match="somebody has been on vd-1"):
        change(rig, VmState.SAVED)
    assert (rig.use("vd-1").use, state_of(rig)) == (Use.UNREADY, VmState.RUNNING)


@pytest.mark.parametrize("state", [VmState.SAVED, VmState.STOPPED])
def test_one_that_is_taken_is_an_administrators_to_change(
    rig: BrokeringRig, state: VmState
) -> None:
    rig.add_ready("vd-1")
    rig.connect(rig.add_user("ann"))
    change(rig, state)
    assert state_of(rig) is state
    if state is VmState.SAVED:
        assert rig.use("vd-1").holder == "ann"
    else:  # nobody is logged on any more, which is heard of
        until("it is nobody's", lambda: not rig.use("vd-1").holder)


@pytest.mark.parametrize("is_taken", [True, False])
def test_a_first_start_that_ends_meanwhile_has_it_started_by_nobody(
    rig: BrokeringRig, monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    """Its pool leaves it off as long as it is not on record as named."""
    rig.add_ready("vd-1")
    if is_taken:
        rig.connect(rig.add_user("ann"))
    rig.place.store.change_desktop("vd-1", unnamed)
    identify = lambda: rig.first_start.identify("vd-1")  # noqa: E731
    change(rig, VmState.STOPPED, hosts=Interrupted(rig.place.hosts, "shut_down", identify))
    assert not record_of(rig).identity_set
    rig.place.hosts.get(HOST1).start("vd-1")
    real = SimulatorGuest.set_identity

    def set_identity(guest: SimulatorGuest, *given: Any) -> None:
        real(guest, *given)
        change(rig, VmState.STOPPED)

    monkeypatch.setattr(SimulatorGuest, "set_identity", set_identity)
    identify()
    assert state_of(rig) is VmState.STOPPED
    assert not record_of(rig).identity_set


def record_of(rig: BrokeringRig) -> Desktop:
    record = rig.place.store.find_desktop("vd-1")
    assert record
    return record


def unnamed(present: Desktop | None) -> Desktop | None:
    return present and replace(present, identity_set=False)
