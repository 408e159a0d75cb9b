"""Which desktop is asked what it has installed, and what is said when none can be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import NAMESPACE_DNS, UUID, uuid5

import pytest

from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import DiskKind, InstalledApplication, VmInfo, VmState
from openrdms.services.hosts import Hosts
from openrdms.services.installed_applications import InstalledApplications

HOST = "host1.sim.local"
XTERM = InstalledApplication("xterm", "/usr/bin/xterm")
EDITOR = InstalledApplication("Editor", "/usr/bin/edit", "--new", "edit")


@dataclass
class FakeGuest:
    refusal: errors.RdmsError | None = None
    asked: int = 0

    def list_applications(self, timeout: float) -> list[InstalledApplication]:
        self.asked += 1
        if self.refusal:
            raise self.refusal
        return [XTERM, EDITOR]


@dataclass(eq=False)
class FakeHost:
    name: str = HOST
    vms: dict[str, VmInfo] = field(default_factory=dict)
    guests: dict[str, FakeGuest] = field(default_factory=dict)
    up: bool = True

    def find_vm(self, name: str) -> VmInfo | None:
        if not self.up:
            raise errors.HostUnavailable(f"{self.name} is silent")
        return self.vms.get(name)

    def guest(self, vm: str) -> FakeGuest:
        return self.guests[vm]


@dataclass
class FakeStore:
    desktops: dict[str, Desktop] = field(default_factory=dict)

    def find_collection(self, alias: str) -> str | None:
        return alias if alias in ("pool", "other") else None

    def find_session_collection(self, alias: str) -> str | None:
        return alias if alias == "sessions" else None

    def find_desktop(self, name: str) -> Desktop | None:
        return self.desktops.get(name)

    def list_desktops(self, collection: str) -> list[Desktop]:
        return [one for one in self.desktops.values() if one.collection == collection]


class World:
    def __init__(self) -> None:
        self.host, self.store = FakeHost(), FakeStore()
        self.service = InstalledApplications(self.store, Hosts([self.host]))

    def add(
        self, name: str, state: VmState = VmState.RUNNING, refusal: errors.RdmsError | None = None
    ) -> FakeGuest:
        uuid = uuid5(NAMESPACE_DNS, name)
        self.host.vms[name] = VmInfo(name, HOST, uuid, state, 384, 1)
        self.host.guests[name] = FakeGuest(refusal)
        linked, status = DiskKind.LINKED, DesktopStatus.SUCCESS
        self.store.desktops[name] = Desktop(
            name, HOST, uuid, "", "pool", "pool", "tiny@1", linked, 1, status
        )
        return self.host.guests[name]


@pytest.fixture
def world() -> World:
    return World()


SILENT = errors.GuestUnreachable("the agent of desk-1 is silent")


def test_one_that_runs_is_asked_and_named(world: World) -> None:
    world.add("desk-1", VmState.STOPPED)
    world.add("desk-2")
    found = world.service.list("pool")
    assert found.desktop == "desk-2"
    assert found.applications == [EDITOR, XTERM]


def test_the_next_is_asked_when_one_is_silent(world: World) -> None:
    world.add("desk-1", refusal=SILENT)
    world.add("desk-2")
    assert world.service.list("pool").desktop == "desk-2"


def test_not_all_of_many_silent_ones_are_asked(world: World) -> None:
    guests = [world.add(f"desk-{n}", refusal=SILENT) for n in range(9)]
    with pytest.raises(errors.GuestUnreachable, match="silent"):
        world.service.list("pool")
    assert sum(guest.asked for guest in guests) == 3


def test_what_a_guest_answers_wrongly_is_told(world: World) -> None:
    world.add("desk-1", refusal=errors.OperationFailed("nonsense"))
    with pytest.raises(errors.OperationFailed, match="nonsense"):
        world.service.list("pool")


def test_the_desktop_named_is_asked_and_no_other(world: World) -> None:
    other = world.add("desk-1")
    world.add("desk-2", refusal=SILENT)
    with pytest.raises(errors.GuestUnreachable):
        world.service.list("pool", "desk-2")
    assert other.asked == 0
    assert world.service.list("pool", "desk-1").desktop == "desk-1"


@pytest.mark.parametrize("desktop", ["desk-1", None])
def test_a_stranger_of_the_same_name_is_not_entered(world: World, desktop: str | None) -> None:
    guest = world.add("desk-1")
    world.host.vms["desk-1"] = replace(world.host.vms["desk-1"], uuid=UUID(int=1))
    with pytest.raises((errors.NotFound, errors.InvalidOperation)):
        world.service.list("pool", desktop)
    assert guest.asked == 0


@pytest.mark.parametrize(
    ("alias", "desktop", "error", "words"),
    [
        ("absent", None, errors.NotFound, "no collection 'absent'"),
        ("sessions", None, errors.InvalidOperation, "collection of sessions"),
        ("other", None, errors.InvalidOperation, "no desktop of collection 'other' is running"),
        ("other", "desk-1", errors.NotFound, "'other' has no desktop 'desk-1'"),
        ("pool", "desk-9", errors.NotFound, "no desktop 'desk-9'"),
        ("pool", "off", errors.VmNotRunning, "off is not running"),
    ],
)
def test_refusals(
    world: World, alias: str, desktop: str | None, error: type[Exception], words: str
) -> None:
    world.add("desk-1")
    world.add("off", VmState.SAVED)
    with pytest.raises(error, match=words):
        world.service.list(alias, desktop)


def test_a_silent_host_is_told_of_a_desktop_that_is_named(world: World) -> None:
    world.add("desk-1")
    world.host.up = False
    with pytest.raises(errors.HostUnavailable):
        world.service.list("pool", "desk-1")
    with pytest.raises(errors.InvalidOperation, match="no desktop"):
        world.service.list("pool")
