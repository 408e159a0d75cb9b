"""Virtual desktops: what is listed, run state, whom they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.small_deployment import HOST1, HOST2, SmallDeployment, open_small_deployment
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.desktop import DesktopStatus
from openrdms.model.host import VmState
from openrdms.model.job import Job, JobAction, JobDesktop, VmStatus
from openrdms.services.desktops import Desktops, VirtualDesktop
from openrdms.services.host_health import HostHealth, Pace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SmallDeployment]:
    with open_small_deployment(tmp_path) as place:
        yield place


@pytest.fixture
def desktops(place: SmallDeployment) -> Desktops:
    return Desktops(place.store, place.hosts, place.health(), place.run_states(), place.uses)


def test_records_and_strangers_are_listed_together(
    place: SmallDeployment, desktops: Desktops
) -> None:
    place.make_desktop("vd-2", "farm")
    member = replace(place.make_desktop("vd-1", "farm", HOST2), user="ann", user_domain="d")
    place.store.put_desktops([member])
    simulator.add_stranger(place.path, HOST1, "debian")
    success, off = DesktopStatus.SUCCESS, VmState.STOPPED
    assert list(desktops.list_desktops()) == [
        VirtualDesktop("debian", HOST1, DesktopStatus.UNKNOWN, VmState.RUNNING),
        VirtualDesktop("vd-1", HOST2, success, off, "farm", "ann", "d"),
        VirtualDesktop("vd-2", HOST1, success, off, "farm"),
    ]
    for listed in desktops.list_desktops():
        assert desktops.get_desktop(listed.name.upper()) == listed


def test_a_namesake_on_another_host_does_not_hide_a_desktop(
    place: SmallDeployment, desktops: Desktops
) -> None:
    place.make_desktop("vd-1", "farm", HOST2)
    simulator.add_stranger(place.path, HOST1, "vd-1")
    (listed,) = desktops.list_desktops()
    assert (listed.host, listed.state) == (HOST2, VmState.STOPPED)
    assert desktops.get_desktop("vd-1") == listed


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_pages_are_joined_in_order_of_name(
    place: SmallDeployment, desktops: Desktops, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr("openrdms.services.desktops._PAGE", page)
    for name, home, host in (
        *(("vd-2", "farm", HOST1), ("vd-3", "farm", HOST2), ("vd-7", "farm", HOST1)),
        *(("vd-8", "other", HOST1), ("vd-9", "farm", HOST2)),
    ):
        place.make_desktop(name, home, host)
    place.store.change_desktop("vd-3", lambda _: None)  # a job is making it
    for name, host in (("VD-1", HOST1), ("vd-4", HOST2), ("vd-1", HOST2), ("zz", HOST1)):
        simulator.add_stranger(place.path, host, name)
    listed = list(desktops.list_desktops())
    names = ["VD-1", "vd-2", "vd-3", "vd-4", "vd-7", "vd-8", "vd-9", "zz"]
    assert [item.name for item in listed] == names
    farm = [item for item in listed if item.collection == "farm"]
    assert list(desktops.list_desktops(collection="FARM")) == farm
    for item in listed:
        assert list(desktops.list_desktops(name=item.name.upper())) == [item]
    assert list(desktops.list_desktops(name="none")) == []


def test_a_host_that_is_away_is_not_asked(place: SmallDeployment) -> None:
    """It would answer here, but one that hangs would hold up the list."""
    place.make_desktop("vd-1", "pool")
    health = HostHealth(place.hosts, lambda: NOW, Pace(first=60, longest=60))
    health.note_failure(HOST1, errors.HostUnavailable("does not answer"))
    desktops = Desktops(place.store, place.hosts, health, place.run_states(), place.uses)
    assert [one.state for one in desktops.list_desktops()] == [VmState.UNKNOWN]
    assert desktops.get_desktop("vd-1").state is VmState.UNKNOWN
    health.note_success(HOST1)
    assert [one.state for one in desktops.list_desktops()] == [VmState.STOPPED]
    health.close()


def test_a_silent_host_hides_strangers_only(place: SmallDeployment, desktops: Desktops) -> None:
    place.make_desktop("vd-1", "farm")
    simulator.add_stranger(place.path, HOST1, "debian")
    simulator.set_fault(place.path, HOST1, fault="down")
    (listed,) = desktops.list_desktops()
    assert (listed.name, listed.state) == ("vd-1", VmState.UNKNOWN)
    assert desktops.get_desktop("vd-1") == listed
    with pytest.raises(errors.HostUnavailable):
        desktops.get_vm("vd-1")


def test_a_vm_that_a_job_is_making_belongs_to_its_collection(
    place: SmallDeployment, desktops: Desktops
) -> None:
    made = place.make_desktop("vd-1", "farm")
    place.store.change_desktop("vd-1", lambda _: None)
    place.make_collection("farm")
    state = CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS
    place.store.accept_job(Job("{A}", "farm", JobAction.CREATE, state, "", {}, NOW, NOW))
    assert desktops.get_desktop("vd-1").status is DesktopStatus.UNKNOWN
    assert desktops.get_desktop("vd-1").collection == "farm"
    row = JobDesktop("{A}", 0, "vd-1", HOST1, made.uuid, made.mac, made.image, made.disk_kind, 1)
    place.store.add_job_desktops([replace(row, status=VmStatus.FAILED)], None)
    assert desktops.get_desktop("vd-1").status is DesktopStatus.FAILED


def test_an_unknown_desktop(desktops: Desktops) -> None:
    for ask in (desktops.get_desktop, desktops.get_vm, desktops.unassign_user):
        with pytest.raises(errors.NotFound, match="nobody"):
            ask("nobody")


# run state


def test_starting_and_stopping(place: SmallDeployment, desktops: Desktops) -> None:
    place.make_desktop("vd-1", "farm")
    for state in (
        *(VmState.RUNNING, VmState.RUNNING, VmState.STOPPED, VmState.STOPPED),
        *(VmState.RUNNING, VmState.PAUSED, VmState.PAUSED, VmState.RUNNING),
        *(VmState.PAUSED, VmState.SAVED, VmState.SAVED, VmState.RUNNING),
        *(VmState.SAVED, VmState.STOPPED, VmState.RUNNING, VmState.PAUSED, VmState.STOPPED),
    ):
        desktops.set_state("vd-1", int(state))
        assert desktops.get_desktop("vd-1").state is state
    desktops.set_state("vd-1", 2)
    desktops.set_state("vd-1", 32769)
    assert desktops.get_desktop("vd-1").state is VmState.SAVED
    assert desktops.get_vm("vd-1").memory_mib > 0


def test_a_desktop_that_will_not_shut_down_is_switched_off(
    place: SmallDeployment, desktops: Desktops, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make_desktop("vd-1", "farm")
    desktops.set_state("vd-1", 2)
    simulator.set_fault(place.path, HOST1, "vd-1", "silent")
    monkeypatch.setattr("openrdms.services.run_states._SHUTDOWN_SECONDS", 0.1)
    desktops.set_state("vd-1", 3)
    assert desktops.get_desktop("vd-1").state is VmState.STOPPED


@pytest.mark.parametrize("state", [0, 1, 4, 9, 32770, 32773, 32774, 32776, 32777, 2**32 - 1])
def test_states_nobody_can_ask_for(place: SmallDeployment, desktops: Desktops, state: int) -> None:
    place.make_desktop("vd-1", "farm")
    with pytest.raises(errors.InvalidParameter, match="VMState"):
        desktops.set_state("vd-1", state)


def test_ways_that_lead_nowhere(place: SmallDeployment, desktops: Desktops) -> None:
    place.make_desktop("vd-1", "farm")
    for state in (VmState.PAUSED, VmState.SAVED):
        with pytest.raises(errors.InvalidOperation, match="vd-1 is stopped and cannot be"):
            desktops.set_state("vd-1", state)
    desktops.set_state("vd-1", VmState.RUNNING)
    desktops.set_state("vd-1", VmState.SAVED)
    with pytest.raises(errors.InvalidOperation, match="vd-1 is saved and cannot be paused"):
        desktops.set_state("vd-1", VmState.PAUSED)


def test_strangers_are_left_alone(place: SmallDeployment, desktops: Desktops) -> None:
    simulator.add_stranger(place.path, HOST1, "debian")
    for state in (2, 3, 6, 32768):
        with pytest.raises(errors.InvalidOperation):
            desktops.set_state("debian", state)
    with pytest.raises(errors.InvalidOperation):
        desktops.assign_user("debian", "ann", "d")
    assert desktops.get_desktop("debian").state is VmState.RUNNING


# users


def test_a_personal_desktop_belongs_to_one_user(place: SmallDeployment, desktops: Desktops) -> None:
    place.make_collection("farm")
    for name in ("vd-1", "vd-2"):
        place.make_desktop(name, "farm")
    desktops.assign_user("vd-1", "Ann", "EXAMPLE")
    desktops.assign_user("VD-1", "ann", "example")
    assert desktops.find_assigned("FARM", "ANN", "example") == "vd-1"
    assert desktops.find_assigned("farm", "bob", "example") is None
    with pytest.raises(errors.AlreadyExists, match="vd-1 is assigned"):
        desktops.assign_user("vd-1", "bob", "example")
    with pytest.raises(errors.AlreadyExists, match="has desktop vd-1"):
        desktops.assign_user("vd-2", "Ann", "Example")
    desktops.unassign_user("vd-1")
    desktops.unassign_user("vd-1")
    assert desktops.find_user("vd-1") is None
    desktops.assign_user("vd-2", "Ann", "Example")
    assert desktops.find_user("vd-2") == ("Ann", "Example")


def test_a_pooled_desktop_belongs_to_nobody(place: SmallDeployment, desktops: Desktops) -> None:
    place.make_collection("farm", CollectionType.POOLED)
    place.make_desktop("vd-1", "farm")
    with pytest.raises(errors.InvalidOperation, match="pooled"):
        desktops.assign_user("vd-1", "ann", "d")


def test_who_cannot_be_given_a_desktop(place: SmallDeployment, desktops: Desktops) -> None:
    place.make_collection("farm")
    broken = replace(place.make_desktop("vd-1", "farm"), status=DesktopStatus.FAILED)
    place.store.put_desktops([broken])
    with pytest.raises(errors.InvalidOperation, match="failed"):
        desktops.assign_user("vd-1", "ann", "d")
    for user in ("", "d\\ann"):
        with pytest.raises(errors.InvalidParameter, match="UserName"):
            desktops.assign_user("vd-1", user, "d")
    with pytest.raises(errors.NotFound, match="collection"):
        desktops.find_assigned("none", "ann", "d")
