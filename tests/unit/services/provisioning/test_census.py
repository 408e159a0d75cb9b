"""Room on hosts: what they say together with what the plans of running jobs hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.new_records import open_records
from fakes.provisioning_rig import Meddled
from live.service import until
from openrdms.adapters import simulator
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.errors import HostUnavailable
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.model.job import RUNNING_STATE, Job, JobAction, JobDesktop, VmStatus
from openrdms.model.provisioning import HostAllocation
from openrdms.services.hosts import Hosts
from openrdms.services.provisioning import census
from openrdms.services.provisioning.census import Surveyor
from openrdms.services.provisioning.placement import Room, make_mac, make_uuid

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FAST = "hosts=2&capacity=9&clone_ms=0&start_ms=0&boot_ms=0&agent_ms=0&users=0"


class World:
    """Two hosts and records; jobs are only rows here."""

    def __init__(self, place: Path) -> None:
        self.store = open_records(place / "records.sqlite")
        cluster = simulator.connect(f"simulator://{place}/sim?{FAST}")
        self.host, self.other = cluster
        self.image = self.store.add_image(self.host.images()[0])
        self.hosts = Hosts(cluster)
        self.surveyor = Surveyor(self.store, self.hosts)
        self.free = self.room()

    def room(self, **options: object) -> Room:
        return next(r for r in self.take(**options) if r.host == self.host.name)

    def take(self, **options: object) -> tuple[Room, ...]:
        return self.surveyor.take(self.image, **options).rooms  # type: ignore[arg-type]

    def plan(self, number: int, *names: str, start: bool = True) -> str:
        """A running Create with those desktops on the first host."""
        guid = f"{{00000000-0000-0000-0000-00000000000{number}}}"
        alias = f"C{number}"
        self.store.create_collection(
            Collection(alias, alias, CollectionType.POOLED, is_managed=True)
        )
        action = JobAction.CREATE
        job = Job(guid, alias, action, RUNNING_STATE[action], "", {"start": start}, NOW, NOW)
        self.store.accept_job(job)
        self.rows = [
            JobDesktop(
                *(guid, ordinal, name, self.host.name, make_uuid(guid, name)),
                *(make_mac(make_uuid(guid, name), ()), self.image.reference, DiskKind.LINKED, 1),
            )
            for ordinal, name in enumerate(names)
        ]
        self.store.add_job_desktops(self.rows, None)
        return guid

    def make(self, name: str, *, start: bool = True) -> None:
        uuid = make_uuid("{00000000-0000-0000-0000-00000000000a}", name)
        owner = Ownership("C", "", self.image.reference)
        spec = VmSpec(
            name, uuid, make_mac(uuid, ()), self.image, DiskKind.LINKED, 1, ownership=owner
        )
        self.host.create_disk(spec)
        self.host.define(spec)
        if start:
            self.host.start(name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.hosts.close()
    world.store.close()


def test_hosts_with_nothing_on_them(world: World) -> None:
    assert (world.free.capacity, world.free.used, world.free.used_mib) == (9, 0, 0)
    assert world.free.memory_mib > 0
    assert len(world.take()) == 2


def test_what_is_planned_is_taken(world: World) -> None:
    guid = world.plan(1, "a", "b")
    room = world.room()
    assert (room.used, room.used_mib, room.starting) == (2, 2 * world.image.memory_mib, 2)
    assert world.room(without_job=guid) == world.free
    assert {r.used for r in world.take() if r.host == world.other.name} == {0}


def test_desktops_that_stay_off_take_no_memory(world: World) -> None:
    world.plan(1, "a", "b", start=False)
    room = world.room()
    assert (room.used, room.used_mib, room.starting) == (2, 0, 0)


def test_a_desktop_that_is_there_and_planned_counts_once(world: World) -> None:
    world.plan(1, "a", "b")
    planned = world.room()
    world.make("A", start=False)
    assert world.room() == planned
    world.host.start("A")
    assert world.room() == replace(planned, starting=1)
    world.make("stranger")
    need = world.image.memory_mib
    assert world.room() == replace(planned, starting=1, used=3, used_mib=3 * need)


def test_without_running_jobs_the_host_is_believed(world: World) -> None:
    world.make("a")
    world.make("b", start=False)
    room = world.room()
    assert (room.used, room.used_mib) == (2, world.image.memory_mib)


def test_what_a_job_has_given_up_is_free(world: World) -> None:
    world.plan(1, "a", "b")
    given_up = replace(world.rows[0], status=VmStatus.FAILED, error="x")
    world.store.put_job_desktops([given_up], NOW)
    assert world.room().used == 1


def test_what_is_said_of_hosts(world: World) -> None:
    asked: list[str] = []

    def is_away(host: str) -> bool:
        asked.append(host)
        return host == world.other.name

    surveyor = Surveyor(world.store, world.hosts, is_away=is_away, is_degraded=lambda host: True)
    taken = surveyor.take()
    assert [room.spared for room in taken.rooms] == [True]
    assert taken.silent == {world.other.name}
    assert set(asked) == {world.host.name, world.other.name}


class Hanging:
    """Two hosts, of which the other one does not answer before ``answer`` is set, and refuses when
    all is ``over``.
    """

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(census, "_PATIENCE_SECONDS", 0)
        self.names = world.host.name, world.other.name
        self.answer = threading.Event()
        self.over = False
        self.asked: list[str] = []
        self.hosts = Hosts(
            [Meddled(world.host, self._note(0)), Meddled(world.other, self._note(1, self._hang))]
        )
        self.surveyor = Surveyor(world.store, self.hosts)

    def _note(
        self, number: int, act: Callable[[], object] = lambda: None
    ) -> Callable[[str, str], None]:
        def meddle(_call: str, _vm: str) -> None:
            self.asked.append(self.names[number])
            act()

        return meddle

    def _hang(self) -> None:
        assert self.answer.wait(60)
        if self.over:
            raise HostUnavailable("over")


@pytest.fixture
def hanging(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    made = Hanging(world, monkeypatch)
    yield made
    made.over = True
    made.answer.set()


def test_host_that_hangs_is_not_waited_for_when_any_will_do(hanging: Hanging) -> None:
    host, hung = hanging.names
    taken = hanging.surveyor.take()
    assert [room.host for room in taken.rooms] == [host]
    assert taken.silent == {hung}


def test_host_that_is_named_is_waited_for(hanging: Hanging) -> None:
    host, hung = hanging.names
    wanted = [HostAllocation(hung, 1), HostAllocation("", 1)]
    with ThreadPoolExecutor(1) as threads:
        taken = threads.submit(hanging.surveyor.take, wanted=wanted)
        until("it is asked", lambda: hung in hanging.asked)
        assert not taken.done()
        hanging.answer.set()
        assert [room.host for room in taken.result(60).rooms] == [host, hung]


def test_hosts_that_do_not_matter_are_not_asked(hanging: Hanging) -> None:
    host, hung = hanging.names
    taken = hanging.surveyor.take(wanted=[HostAllocation(host, 1)])
    assert [room.host for room in taken.rooms] == [host]
    assert hung not in hanging.asked
    assert taken.silent == set()


def test_names_are_not_waited_for_where_nothing_is_made(
    hanging: Hanging, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "_PATIENCE_SECONDS", 60)
    host, _ = hanging.names
    world.make("pool-1")
    begun = time.monotonic()
    found = census.find_names(hanging.hosts.all(), "pool-1", "pool-9", {host})
    assert found == {"pool-1"}
    assert time.monotonic() - begun < 30
