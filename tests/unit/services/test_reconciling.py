"""Reconciling over the simulator and real records, without jobs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fakes.new_records import open_records
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionState, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.model.job import Job, JobAction, JobDesktop, VmStatus
from openrdms.services.audit import Audit
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import HostHealth, Pace
from openrdms.services.hosts import Hosts
from openrdms.services.reconciling import Reconciling

FAST = "hosts=2&slots=8&clone_ms=2&start_ms=2&boot_ms=10&agent_ms=1&destroy_ms=1&users=0"
HOST = "host1.sim.local"
PACE = Pace(period=0.1, patience=0.2, first=0.01, longest=0.05)


def now() -> datetime:
    return datetime.now(UTC)


class Death(BaseException):
    """The process is gone: nothing catches it, and nothing is written afterwards."""


class MortalUses(DesktopUses):
    """``before`` is called once, before the next change."""

    dead = False
    before: Callable[[], object] | None = None

    def change(self, *args: Any) -> list[DesktopUse]:
        if self.dead:
            raise Death
        before, self.before = self.before, None
        if before:
            before()
        return super().change(*args)


class World:
    """``meddle`` may raise before any call on the first host."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "sim"
        directory.mkdir(exist_ok=True)
        self.store = open_records(directory / "records.sqlite")
        self.meddle: Callable[[str], None] = lambda _: None
        cluster: list[Any] = [*simulator.connect(f"simulator://{self.path}?{FAST}")]
        self.host = cluster[0]
        self.hosts = Hosts([Watched(self), cluster[1]])
        self.health = HostHealth(self.hosts, now, PACE)
        self.uses = MortalUses(self.store, now)
        self.audit = Audit(self.store, self.hosts)
        self.reconciling = Reconciling(self.store, self.hosts, self.health, self.uses, now)
        if self.store.find_collection("Pool") is None:
            pool = Collection("Pool", "P", CollectionType.POOLED, is_managed=True)
            self.store.create_collection(pool)
        self.job = self.begin_job(JobAction.CREATE)
        self.end_job()

    def close(self) -> None:
        self.reconciling.close()
        self.health.close()
        self.hosts.close()
        self.store.close()

    def look(self) -> list[tuple[str, str]]:
        """Reconcile the first host: codes and remedies of what was found."""
        found = self.reconciling.reconcile(self.hosts.get(HOST))
        return [(str(one.code), str(one.remedy)) for one in found]

    def make(self, name: str, *, record: bool = True, use: Use = Use.READY) -> VmSpec:
        """A whole desktop, off, by default on record."""
        spec = self.spec(name)
        self.host.create_disk(spec)
        self.host.define(spec)
        if record:
            self.store.put_desktops([desktop(spec)])
            self.uses.move([name], use, of=set(Use))
        return spec

    def spec(self, name: str) -> VmSpec:
        [image] = self.host.images()
        ours = Ownership("Pool", self.job, "tiny@1")
        mac = "52:54:00:00:00:01"
        return VmSpec(name, uuid4(), mac, image, DiskKind.LINKED, 1, ours)

    def vanish(self, name: str) -> None:
        """Remove the VM behind the service's back; its disk stays."""
        self.host.destroy(name)
        self.host.undefine(name)

    def begin_job(self, action: JobAction) -> str:
        """A job without desktops; its GUID."""
        state = CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS
        job = Job(f"{{{uuid4()}}}".upper(), "Pool", action, state, "", {}, now(), now())
        self.store.accept_job(job)
        return job.guid

    def end_job(self) -> None:
        [job] = self.store.list_jobs(running=True)
        self.store.end_job(job.guid, CollectionState.JOB_ABORTED, "", now())

    def plan(self, spec: VmSpec, action: JobAction, status: VmStatus) -> None:
        """A job that has this desktop in its rows."""
        row = JobDesktop(
            *(self.begin_job(action), 0, spec.name, HOST, spec.uuid, spec.mac, "tiny@1"),
            *(DiskKind.LINKED, 1, status),
        )
        self.store.add_job_desktops([row], None)

    def use(self, name: str) -> DesktopUse:
        use = self.store.find_use(name)
        assert use
        return use

    def disks(self) -> list[str]:
        return sorted(one.name for one in self.host.list_leftovers() if one.kind == "disk")


class Watched:
    """The first host, whose calls ``World.meddle`` sees."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        if name not in ("name", "slots", "stops", "removals", "tells_sessions"):
            self._world.meddle(name)
        return getattr(self._world.host, name)


def desktop(spec: VmSpec, **changes: Any) -> Desktop:
    made = Desktop(
        *(spec.name, HOST, spec.uuid, spec.mac, "Pool", "Pool", "tiny@1", DiskKind.LINKED, 1),
        DesktopStatus.SUCCESS,
    )
    return replace(made, **changes)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "world")
    yield world
    world.meddle = lambda _: None
    world.close()


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _answers(world: World, name: str) -> bool:
    with suppress(errors.GuestUnreachable):
        world.host.guest(name).ping(1)
        return True
    return False


def test_a_lost_vm_is_given_to_nobody_until_it_is_back(world: World) -> None:
    spec = world.make("d-1")
    world.vanish("d-1")
    assert world.look() == [("VmLost", "quarantine")]
    assert world.use("d-1").use is Use.QUARANTINED
    record = world.store.find_desktop("d-1")
    assert record and record.status is DesktopStatus.FAILED
    [apart] = world.audit.list_set_apart()
    assert (apart.name, apart.code, apart.reason) == ("d-1", "VmLost", "the desktop's VM is gone")
    assert world.look() == [("VmLost", "none")]
    world.host.define(spec)
    assert world.look() == [("VmLost", "give back")]
    assert (world.use("d-1").use, world.use("d-1").reason) == (Use.UNREADY, "")
    record = world.store.find_desktop("d-1")
    assert record and record.status is DesktopStatus.SUCCESS
    assert world.look() == []


def test_a_desktop_that_changes_meanwhile_is_looked_at_again(world: World) -> None:
    world.make("d-1")
    world.vanish("d-1")
    world.uses.before = lambda: world.uses.move(["d-1"], Use.UNREADY, of={Use.READY})
    assert world.look() == [("VmLost", "quarantine")]
    assert world.use("d-1").use is Use.UNREADY
    until(lambda: world.use("d-1").use is Use.QUARANTINED)


def test_a_vm_that_is_back_with_a_session_is_its_users(world: World) -> None:
    world.make("d-1")
    world.host.start("d-1")
    world.uses.change(
        ["d-1"],
        lambda use: replace(use, use=Use.QUARANTINED, holder="", reason="VmLost: was away"),
    )
    simulator.log_on(world.path, HOST, "d-1", "ann")
    until(lambda: _answers(world, "d-1"))
    assert world.look() == [("VmLost", "give back")]
    use = world.use("d-1")
    assert use.use is Use.TAKEN
    assert use.holder.endswith("\\ann")


def test_an_unknown_vm_of_ours_is_recorded_and_kept(world: World) -> None:
    spec = world.make("d-1", record=False)
    world.plan(spec, JobAction.CREATE, VmStatus.COMPLETE)
    world.end_job()
    assert ("UnknownVm", "record") in world.look()
    record = world.store.find_desktop("d-1")
    assert record is not None
    assert (record.uuid, record.collection, record.home) == (spec.uuid, "", "Pool")
    assert (record.mac, record.image, record.generation) == (spec.mac, "tiny@1", 1)
    assert world.use("d-1").use is Use.QUARANTINED
    assert world.use("d-1").reason.startswith("UnknownVm: no record")
    assert world.look() == []
    assert world.host.find_vm("d-1")
    assert world.audit.find_orphans().orphans == []


def test_what_nobody_finished_goes_and_its_record_last(world: World) -> None:
    world.host.create_disk(world.spec("disk-only"))
    world.make("vm-only", record=False)
    world.host.delete_disk("vm-only", 1)
    seen = []
    world.meddle = lambda call: seen.append((call, len(world.store.list_desktops())))
    assert sorted(set(world.look())) == [("UnfinishedVm", "remove")]
    removals = [count for call, count in seen if call in ("destroy", "undefine", "delete_disk")]
    assert removals
    assert all(removals)
    world.meddle = lambda _: None
    assert world.store.list_desktops() == []
    assert world.host.list_vms() == []
    assert world.disks() == []


@pytest.mark.parametrize("calls", range(1, 8))
def test_death_at_any_call_loses_and_leaves_nothing(tmp_path: Path, calls: int) -> None:
    """The process dies before its n-th change on the host; the next one ends what it began."""
    first = World(tmp_path / "world")
    first.host.create_disk(first.spec("disk-only"))
    first.make("vm-only", record=False)
    first.host.delete_disk("vm-only", 1)
    kept = first.make("kept", record=False)
    left = [calls]

    def die(call: str) -> None:
        left[0] -= call in ("destroy", "undefine", "delete_disk", "find_vm")
        if left[0] <= 0:
            first.uses.dead = True
            raise Death

    first.meddle = die
    with suppress(Death):
        first.look()
    first.meddle = lambda _: None
    first.close()
    second = World(tmp_path / "world")
    second.reconciling.settle_uses()
    second.look()
    assert [one.uuid for one in second.store.list_desktops()] == [kept.uuid]
    assert [vm.name for vm in second.host.list_vms()] == ["kept"]
    assert second.disks() == ["kept.1.qcow2"]
    assert second.look() == []
    second.close()


def test_remnants_of_an_ended_job_go(world: World) -> None:
    spec = world.make("d-1", record=False)
    world.plan(spec, JobAction.CREATE, VmStatus.FAILED)
    world.end_job()
    world.store.put_desktops([desktop(spec, collection="", status=DesktopStatus.FAILED)])
    assert world.look() == [("UnfinishedVm", "remove")]
    assert world.store.find_desktop("d-1") is None
    assert world.host.find_vm("d-1") is None
    assert world.disks() == []


def test_what_a_running_job_makes_is_left_alone(world: World) -> None:
    spec = world.spec("d-1")
    world.host.create_disk(spec)
    world.plan(spec, JobAction.CREATE, VmStatus.IN_PROGRESS)
    assert world.look() == []
    assert world.disks() == ["d-1.1.qcow2"]


def test_what_a_job_wants_meanwhile_is_left_to_it(world: World) -> None:
    """A claim that comes while something is removed stops that, and is kept."""
    world.make("d-1", record=False)
    world.host.delete_disk("d-1", 1)

    def claim(call: str) -> None:
        if call == "destroy":
            world.meddle = lambda _: None
            world.uses.change(["d-1"], lambda use: replace(use, claim="{JOB}"))

    world.meddle = claim
    world.look()
    assert (world.use("d-1").use, world.use("d-1").claim) == (Use.QUARANTINED, "{JOB}")
    assert world.host.find_vm("d-1")


def test_a_disk_out_of_use_is_deleted_when_nobody_uses_its_desktop(world: World) -> None:
    spec = world.make("d-1")
    world.host.create_disk(replace(spec, generation=2))
    world.uses.change(["d-1"], lambda use: replace(use, use=Use.TAKEN, holder="SIM\\ann"))
    assert world.look() == [("UnfinishedVm", "delete disk")]
    assert world.disks() == ["d-1.1.qcow2", "d-1.2.qcow2"]
    world.uses.move(["d-1"], Use.READY, of={Use.TAKEN})
    assert world.look() == [("UnfinishedVm", "delete disk")]
    assert world.disks() == ["d-1.1.qcow2"]
    assert world.use("d-1").use is Use.READY


@pytest.mark.parametrize("finding", ["disk out of use", "unfinished"])
def test_it_is_let_go_of_once_records_are_back(world: World, finding: str) -> None:
    """Else it would be in our hands until the service starts again."""
    spec = world.make("d-1")
    if finding == "unfinished":
        world.store.put_desktops([desktop(spec, collection="", status=DesktopStatus.FAILED)])
        world.plan(spec, JobAction.CREATE, VmStatus.FAILED)
        world.end_job()
    else:
        world.host.create_disk(replace(spec, generation=2))
    away = [errors.RecordsUnavailable("away")] * 2

    def fail() -> None:
        if away:
            world.uses.before = fail
            raise away.pop()

    def leave(call: str) -> None:
        if call == "delete_disk":
            world.meddle = lambda _: None
            world.uses.before = fail

    world.meddle = leave
    world.look()
    assert world.use("d-1").use is Use.PREPARING
    until(lambda: world.use("d-1").use is not Use.PREPARING)
    assert world.use("d-1").use is (Use.READY if finding != "unfinished" else Use.QUARANTINED)
    world.look()
    assert not world.audit.find_orphans().orphans
    assert (world.store.find_desktop("d-1") is None) == (finding == "unfinished")


def test_uses_that_nobody_has_in_hand_are_settled_at_start(world: World) -> None:
    world.make("d-1")
    world.make("d-2", use=Use.PREPARING)
    world.make("d-3")
    world.uses.change(["d-1"], lambda use: replace(use, use=Use.WORK, claim="{GONE}"))
    world.uses.change(["d-3"], lambda use: replace(use, claim="{GONE}"))
    world.make("d-4")
    world.plan(world.spec("other"), JobAction.CREATE, VmStatus.PENDING)
    [job] = world.store.list_jobs(running=True)
    world.uses.change(["d-4"], lambda use: replace(use, use=Use.WORK, claim=job.guid))
    world.reconciling.settle_uses()
    states = {use.name: (use.use, use.claim) for use in world.store.list_uses()}
    assert states == {
        "d-1": (Use.UNREADY, ""),
        "d-2": (Use.UNREADY, ""),
        "d-3": (Use.READY, ""),
        "d-4": (Use.WORK, job.guid),
    }


def test_hosts_are_looked_at_at_start_on_return_and_when_a_vm_does_not_fit(world: World) -> None:
    world.make("d-1", record=False)
    world.make("d-2")
    world.health.start()
    world.reconciling.start()
    until(lambda: world.store.find_desktop("d-1"))
    simulator.set_fault(world.path, HOST, fault="down")
    until(lambda: world.health.is_away(HOST))
    simulator.set_fault(world.path, HOST)
    until(lambda: not world.health.is_away(HOST))
    world.host.start("d-2")
    world.host.destroy("d-2")
    world.host.undefine("d-2")
    until(lambda: world.use("d-2").use is Use.QUARANTINED)
    world.make("d-3", record=False)
    world.host.start("d-3")
    until(lambda: world.store.find_desktop("d-3"))


def test_a_host_given_up_is_forgotten_until_it_is_back(world: World) -> None:
    world.make("d-1")
    with pytest.raises(errors.InvalidOperation, match="answers"):
        world.reconciling.forget(HOST)
    world.reconciling.start()
    until(lambda: f"reconcile-{HOST}" not in {one.name for one in threading.enumerate()})
    simulator.set_fault(world.path, HOST, fault="down")
    assert world.reconciling.forget("host1") == ["d-1"]
    assert world.store.list_desktops() == []
    with pytest.raises(errors.NotFound):
        world.hosts.get(HOST)
    spec = world.spec("late-1")  # recorded by a job that was just ending
    world.store.put_desktops([desktop(spec)])
    assert world.reconciling.forget("host1") == ["late-1"]
    asyncio.run(asyncio.wait_for(world.health.back(HOST), 60))  # whoever waits goes on
    simulator.set_fault(world.path, HOST)
    until(lambda: world.hosts.find(HOST))
    until(lambda: world.store.find_desktop("d-1"))
    assert world.use("d-1").reason.startswith("UnknownVm:")


def test_a_vm_of_an_ended_preparation_goes(world: World) -> None:
    spec = world.make("copy-1", record=False)
    world.plan(spec, JobAction.PREP, VmStatus.CANCELLED)
    world.end_job()
    assert ("UnfinishedVm", "remove") in world.look()
    assert world.host.find_vm("copy-1") is None
