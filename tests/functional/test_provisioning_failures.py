"""Desktops that fail, hosts that go away, cancels at awkward moments."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.provisioning_rig import FAST, POOL, Faults, Meddled, Rig, create, later
from openrdms.adapters import simulator
from openrdms.jobs.engine import JobEngine
from openrdms.model import errors
from openrdms.model.collection import CollectionState
from openrdms.model.host import VmState
from openrdms.model.job import JobAction, VmStatus
from openrdms.model.provisioning import OnError
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning import pipeline, stages

THREE = [("host1.sim.local", 2), ("host2.sim.local", 1)]
SLOW = FAST.replace("boot_ms=10", "boot_ms=600000")
BROKEN = errors.OperationFailed("the disk is full of holes")


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def rig(tmp_path: Path, faults: Faults) -> Iterator[Rig]:
    rig = Rig(tmp_path, wrap_host=faults.wrap).resume()
    rig.add_collection()
    yield rig
    rig.close()


PHASES = ["create_disk", "define", "start", "ping", "set_identity"]


@pytest.mark.parametrize("call", PHASES)
def test_on_error_stop_takes_back_what_is_not_finished(rig: Rig, faults: Faults, call: str) -> None:
    faults.plan[call, "pool-2"] = BROKEN
    report = rig.run(create(THREE))
    assert report.state is CollectionState.JOB_ABORTED is rig.state()
    assert report.failed == 1
    failed = report.desktops[1]
    assert (failed.status, failed.error) == (VmStatus.FAILED, str(BROKEN))
    assert failed.undone[-1] == "disk"
    kept = [d.name for d in report.desktops if d.status is VmStatus.COMPLETE]
    stopped = [d for d in report.desktops if d.status is VmStatus.CANCELLED]
    assert all("stopped at an error" in d.error for d in stopped)
    assert len(kept) + len(stopped) == 2
    assert sorted(rig.vms()) == kept == [d.name for d in rig.store.list_desktops()]
    assert rig.orphans() == []


@pytest.mark.parametrize("call", PHASES)
def test_on_error_continue_finishes_the_others(rig: Rig, faults: Faults, call: str) -> None:
    faults.plan[call, "pool-2"] = BROKEN
    report = rig.run(create(THREE, on_error=OnError.CONTINUE))
    assert report.state is CollectionState.JOB_COMPLETED
    assert (report.requested, report.succeeded, report.failed) == (3, 2, 1)
    assert sorted(rig.vms()) == ["pool-1", "pool-3"]
    assert rig.orphans() == []


def test_a_defect_fails_the_desktop_and_ends_the_job(rig: Rig, faults: Faults) -> None:
    faults.plan["define", "pool-2"] = ZeroDivisionError("a defect")
    report = rig.run(create(THREE))
    assert report.state is CollectionState.JOB_ABORTED
    assert "a defect" in report.desktops[1].error


def test_name_taken_by_a_stranger_meanwhile_leaves_the_stranger(rig: Rig, faults: Faults) -> None:
    def meddle(call: str, vm: str) -> None:
        if (call, vm) == ("define", "pool-1") and not rig.vms():
            simulator.add_stranger(rig.simulator, "host1.sim.local", "pool-1")

    faults.__class__.__call__, original = lambda self, call, vm: meddle(call, vm), Faults.__call__
    try:
        report = rig.run(create([("host1", 1)]))
    finally:
        faults.__class__.__call__ = original
    assert report.state is CollectionState.JOB_ABORTED
    assert list(rig.vms()) == ["pool-1"]
    vm = rig.hosts.get("host1").find_vm("pool-1")
    assert vm is not None
    assert vm.ownership is None


def test_temporary_trouble_is_waited_out(tmp_path: Path) -> None:
    left = iter(range(2))  # taken by two threads at once

    def meddle(call: str, vm: str) -> None:
        if call == "start" and next(left, None) is not None:
            raise errors.HostUnavailable("not now")

    def wrap(host: Any) -> Any:
        return Meddled(host, meddle)

    rig = Rig(tmp_path, wrap_host=wrap).resume()
    rig.add_collection()
    assert rig.run(create()).succeeded == 2
    rig.close()


def test_agent_that_never_answers_fails_the_desktop(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FAST.replace("boot_ms=10", "boot_ms=600000"), boot_deadline=0.5).resume()
    rig.add_collection()
    report = rig.wait(rig.execute(create([("host1", 1)])))
    assert "agent did not answer" in report.desktops[0].error
    assert rig.files() == []
    rig.close()


@pytest.mark.parametrize("stops", [1, 2])
def test_guest_that_stops_while_it_boots_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: int
) -> None:
    def meddle(call: str, vm: str) -> None:
        if call == "start":
            booting.release()

    booting = threading.Semaphore(0)
    monkeypatch.setattr(stages, "RECHECK", 60.0)  # more than all of it takes on a busy machine
    boot = FAST.replace("boot_ms=10", "boot_ms=3000")
    rig = Rig(tmp_path, boot, wrap_host=lambda host: Meddled(host, meddle)).resume()
    rig.add_collection()
    guid = rig.execute(create([("host1", 1)]))
    begun = time.monotonic()
    host = rig.hosts.get("host1")
    for _ in range(stops):
        assert booting.acquire(timeout=60)
        rig.wait_until(lambda: VmState.RUNNING in {vm.state for vm in host.list_vms()})
        host.destroy("pool-1")
    (desktop,) = rig.wait(guid).desktops
    if stops == 1:
        assert desktop.status is VmStatus.COMPLETE
    else:
        assert (desktop.status, desktop.code) == (VmStatus.FAILED, ReasonCode.BOOT_STOPPED)
        assert rig.files() == []
    assert time.monotonic() - begun < stages.RECHECK
    rig.close()


def test_patch_that_fails_goes_back_to_the_old_disk(rig: Rig, faults: Faults) -> None:
    rig.run(create(THREE))
    before = rig.store.list_desktops()
    faults.plan["set_identity", "pool-2"] = BROKEN
    report = rig.run(later(JobAction.PATCH))
    assert report.state is CollectionState.UPDATE_FAILED is rig.state()
    new = {d.name for d in report.desktops if d.status is VmStatus.COMPLETE}
    assert "pool-2" not in new
    expected = [replace(d, generation=2) if d.name in new else d for d in before]
    assert rig.store.list_desktops() == expected
    assert rig.vms() == {d.name: [f"{d.name}.{d.generation}.qcow2"] for d in expected}
    assert len(rig.files()) == 3
    assert rig.hosts.get("host1").find_vm("pool-2").state.name == "RUNNING"  # type: ignore[union-attr]
    assert rig.orphans() == []


def test_patch_ends_although_a_desktop_does_not_start_any_more(rig: Rig, faults: Faults) -> None:
    rig.run(create())
    faults.plan["start", "pool-1"] = BROKEN
    report = rig.run(later(JobAction.PATCH))
    assert report.state is CollectionState.UPDATE_FAILED is rig.state()
    assert "did not start again" in report.desktops[0].error
    assert report.desktops[0].undone == ("define", "disk")
    assert rig.vms()["pool-1"] == ["pool-1.1.qcow2"]
    assert rig.orphans() == []


def test_what_cannot_be_taken_back_is_left_for_a_delete(rig: Rig, faults: Faults) -> None:
    faults.plan["set_identity", "pool-2"] = BROKEN
    faults.plan["destroy", "pool-2"] = errors.OperationFailed("it does not let go")
    report = rig.run(create())
    assert report.state is CollectionState.JOB_ABORTED
    failed = report.desktops[1]
    assert (failed.status, failed.undone) == (VmStatus.FAILED, ("identity",))
    assert "it does not let go" in failed.error
    record = rig.store.find_desktop("pool-2")
    assert record is not None
    assert (record.home, record.collection, record.status.name) == (POOL, "", "FAILED")
    [left] = rig.orphans()
    assert (left.name, left.code) == ("pool-2", ReasonCode.UNFINISHED_VM)
    faults.plan.clear()
    assert rig.run(later(JobAction.DELETE, "pool-2")).succeeded == 1
    assert "pool-2" not in rig.vms()
    assert rig.orphans() == []


@pytest.fixture
def stuck(rig: Rig, faults: Faults) -> Rig:
    """A Patch to tiny@2 could not take pool-1 back: its VM is over the second disk, though records
    say the first.
    """
    rig.run(create([("host1", 1)]))
    rig.store.add_image(rig.images.resolve("image:tiny"))
    faults.plan["set_identity", "pool-1"] = BROKEN

    def refuse(call: str, vm: str) -> None:
        if (call, vm) == ("set_identity", "pool-1"):
            faults.plan["define", "pool-1"] = BROKEN

    faults.before = refuse
    report = rig.run(later(JobAction.PATCH))
    assert report.state is CollectionState.UPDATE_FAILED
    [desktop] = report.desktops
    assert (desktop.status, desktop.undone) == (VmStatus.FAILED, ())
    faults.before = lambda call, vm: None
    faults.plan.clear()
    return rig


def test_patch_that_cannot_go_back_keeps_the_disk_in_use(stuck: Rig) -> None:
    assert stuck.files() == ["pool-1.1.qcow2", "pool-1.2.qcow2"]
    assert stuck.vms() == {"pool-1": ["pool-1.2.qcow2"]}
    record = stuck.store.find_desktop("pool-1")
    assert record
    assert (record.generation, record.image) == (1, "tiny@1")


def test_patch_after_one_that_could_not_go_back_makes_its_own_disk(stuck: Rig) -> None:
    """It boots the desktop to try the image, which over tiny@2 would not answer."""
    simulator.set_image_fault(stuck.simulator, "tiny@2", "no-agent")
    stuck.store.add_image(stuck.images.resolve("image:tiny"))
    assert stuck.run(later(JobAction.PATCH)).succeeded == 1
    record = stuck.store.find_desktop("pool-1")
    assert record
    assert (record.generation, record.image) == (2, "tiny@3")
    assert stuck.files() == ["pool-1.2.qcow2"]


def test_delete_after_a_patch_that_could_not_go_back_leaves_nothing(stuck: Rig) -> None:
    assert stuck.run(later(JobAction.DELETE)).succeeded == 1
    assert (stuck.vms(), stuck.files(), stuck.orphans()) == ({}, [], [])


def test_delete_goes_on_after_a_failure_and_may_be_repeated(rig: Rig, faults: Faults) -> None:
    rig.run(create(THREE))
    faults.plan["undefine", "pool-2"] = BROKEN
    report = rig.run(later(JobAction.DELETE))
    assert (report.state, report.failed) == (CollectionState.JOB_COMPLETED, 1)
    assert [d.name for d in rig.store.list_desktops()] == ["pool-2"]
    faults.plan.clear()
    assert rig.run(later(JobAction.DELETE)).succeeded == 1
    assert rig.files() == []


# cancel


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Rig]:
    """Guests that never come up: jobs stay where agents are awaited."""
    rig = Rig(tmp_path, SLOW, boot_deadline=600).resume()
    rig.add_collection()
    yield rig
    rig.close()


def begin(rig: Rig) -> str:
    guid = rig.execute(create(THREE))
    rig.wait_until(lambda: len(rig.vms()) == 3)
    return guid


def test_cancel_interrupts_waits_and_leaves_nothing(slow: Rig) -> None:
    guid = begin(slow)
    begun = time.monotonic()
    slow.provisioning.cancel(guid.strip("{}").lower())
    assert slow.report(guid).state in (
        CollectionState.CANCEL_INPROGRESS,
        CollectionState.JOB_ABORTED,
    )
    report = slow.wait(guid)
    assert time.monotonic() - begun < 60  # of the 600 s that agents are waited for
    assert report.state is CollectionState.JOB_ABORTED is slow.state()
    assert (report.succeeded, report.failed, report.percent) == (0, 0, 100)
    assert {d.status for d in report.desktops} == {VmStatus.CANCELLED}
    assert {d.undone[-2:] for d in report.desktops} == {("define", "disk")}
    assert (slow.vms(), slow.files(), slow.store.list_desktops()) == ({}, [], [])
    assert slow.orphans() == []


def test_cancel_of_which_the_notice_was_lost(slow: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    guid = begin(slow)
    with monkeypatch.context() as lost:
        lost.setattr(JobEngine, "wake", lambda _self, _guid: None)
        slow.provisioning.cancel(guid)
    slow.provisioning.recheck_cancels()
    assert slow.wait(guid).state is CollectionState.JOB_ABORTED


def test_cancelling_twice_is_harmless(slow: Rig) -> None:
    guid = begin(slow)
    slow.provisioning.cancel(guid)
    slow.provisioning.cancel(guid)
    slow.wait(guid)
    slow.provisioning.cancel(guid)
    assert slow.state() is CollectionState.JOB_ABORTED


def test_collection_takes_a_new_job_after_a_cancel(slow: Rig) -> None:
    guid = begin(slow)
    with pytest.raises(errors.InvalidOperation, match="CREATE_VIRTUAL_DESKTOP_INPROGRESS"):
        slow.execute(create())
    slow.provisioning.cancel(guid)
    slow.wait(guid)
    assert slow.run(create(start=False)).succeeded == 2


def test_finished_job_is_not_cancelled(rig: Rig) -> None:
    guid = rig.execute(create())
    rig.wait(guid)
    with pytest.raises(errors.InvalidOperation, match="ended"):
        rig.provisioning.cancel(guid)
    assert rig.state() is CollectionState.JOB_COMPLETED


def test_running_delete_is_not_cancelled(rig: Rig, faults: Faults) -> None:
    rig.run(create())
    faults.plan["destroy", "pool-1"] = errors.HostUnavailable("not now")
    guid = rig.execute(later(JobAction.DELETE))
    with pytest.raises(errors.InvalidOperation, match="Delete"):
        rig.provisioning.cancel(guid)
    faults.plan.clear()
    assert rig.wait(guid).succeeded == 2


def test_cancel_in_the_last_moment_still_takes_everything_back(tmp_path: Path) -> None:
    """Every desktop is finished and the end is about to be written when the cancel comes."""
    rig: Rig

    def at_the_end(call: str, vm: str) -> None:
        if call == "end_job":
            rig.provisioning.cancel(rig.provisioning.list_guids(running=True)[0])

    def wrap(store: Any) -> Any:
        return Meddled(store, at_the_end)

    rig = Rig(tmp_path, wrap_store=wrap).resume()
    rig.add_collection()
    report = rig.wait(rig.execute(create(THREE)))
    assert report.state is CollectionState.JOB_ABORTED
    assert {d.undone for d in report.desktops} == {("identity", "start", "define", "disk")}
    assert (rig.vms(), rig.files(), rig.store.list_desktops()) == ({}, [], [])
    rig.close()


@pytest.fixture
def held(rig: Rig, faults: Faults) -> Iterator[threading.Event]:
    """pool-3's disk is under way until the event is set; the others are made meanwhile."""
    let_go = threading.Event()

    def hold(call: str, vm: str) -> None:
        if (call, vm) == ("create_disk", "pool-3"):
            let_go.wait(60)

    faults.before = hold
    yield let_go
    let_go.set()


def test_cancel_takes_back_what_is_at_rest_while_a_call_goes_on(
    rig: Rig, held: threading.Event
) -> None:
    guid = rig.execute(create(THREE))
    rig.wait_until(lambda: rig.report(guid).succeeded == 2)
    rig.provisioning.cancel(guid)
    rig.wait_until(lambda: (rig.files(), rig.store.list_desktops()) == ([], []))
    # what is written is reported a moment later
    two = [VmStatus.CANCELLED] * 2
    rig.wait_until(lambda: [d.status for d in rig.report(guid).desktops[:2]] == two)
    assert rig.report(guid).state is CollectionState.CANCEL_INPROGRESS
    held.set()
    report = rig.wait(guid)
    assert report.state is CollectionState.JOB_ABORTED
    assert {d.status for d in report.desktops} == {VmStatus.CANCELLED}
    assert [d.undone[-1:] for d in report.desktops] == [("disk",)] * 3
    assert (rig.vms(), rig.files(), rig.orphans()) == ({}, [], [])


class LongStart:
    """pool-3's start goes on until it is aborted, as on a host that can do so; pool-2's identity
    waits for its beginning.
    """

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.aborted = threading.Event()

    def __call__(self, call: str, vm: str) -> None:
        if (call, vm) == ("set_identity", "pool-2"):
            assert self.begun.wait(60)
        if (call, vm) == ("abort_start", "pool-3"):
            self.aborted.set()
        if (call, vm) == ("start", "pool-3") and not self.aborted.is_set():
            self.begun.set()
            assert self.aborted.wait(60)
            raise errors.OperationFailed("QEMU was killed")


def test_cancel_does_not_wait_for_a_start_under_way(rig: Rig, faults: Faults) -> None:
    faults.before = LongStart()
    guid = rig.execute(create(THREE))
    rig.wait_until(lambda: rig.report(guid).succeeded == 2)
    rig.provisioning.cancel(guid)
    report = rig.wait(guid)
    assert report.state is CollectionState.JOB_ABORTED
    assert {(d.status, d.error) for d in report.desktops} == {(VmStatus.CANCELLED, "cancelled")}
    assert report.desktops[2].undone == ("start", "define", "disk")
    assert (rig.vms(), rig.files(), rig.orphans()) == ({}, [], [])


def test_an_error_elsewhere_does_not_wait_for_a_start_either(rig: Rig, faults: Faults) -> None:
    faults.before = long_start = LongStart()
    faults.plan["set_identity", "pool-2"] = BROKEN
    report = rig.run(create(THREE))
    assert long_start.aborted.is_set()
    assert (report.failed, report.desktops[2].code) == (1, ReasonCode.STOPPED_AT_ERROR)
    assert rig.orphans() == []


def test_an_update_whose_start_was_aborted_goes_back(rig: Rig, faults: Faults) -> None:
    rig.run(create(THREE))
    faults.before = LongStart()
    before = rig.store.list_desktops()
    guid = rig.execute(later(JobAction.PATCH))
    rig.wait_until(lambda: rig.report(guid).succeeded == 2)
    rig.provisioning.cancel(guid)
    report = rig.wait(guid)
    assert report.state is CollectionState.UPDATE_CANCELLED
    assert report.desktops[2].status is VmStatus.CANCELLED
    assert rig.store.list_desktops()[2] == before[2]
    vm = rig.hosts.get("host2").find_vm("pool-3")
    assert vm
    assert (vm.state, vm.is_over(1)) == (VmState.RUNNING, True)
    assert rig.orphans() == []


def test_a_job_that_stops_at_an_error_keeps_what_is_done_while_a_call_goes_on(
    rig: Rig, faults: Faults, held: threading.Event
) -> None:
    faults.plan["create_disk", "pool-2"] = BROKEN
    guid = rig.execute(create(THREE))
    rig.wait_until(lambda: rig.report(guid).failed == 1)
    held.set()
    report = rig.wait(guid)
    kept = [d.name for d in report.desktops if d.status is VmStatus.COMPLETE]
    assert sorted(rig.vms()) == kept == [d.name for d in rig.store.list_desktops()]
    assert "pool-3" not in kept
    assert rig.orphans() == []


def test_what_is_finished_while_the_cancel_comes_is_taken_back_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancel is on record before the end of the last desktop is; no second undo is needed."""
    again: list[object] = []

    async def note(*told: object) -> None:
        again.append(told)

    monkeypatch.setattr(pipeline, "take_back", note)
    rig: Rig

    class CancelledInBetween(Meddled):
        def put_job_desktops(self, rows: Any, *args: Any, records: Any = (), **rest: Any) -> None:
            if records:
                rig.provisioning.cancel(rows[0].job)
            rig_store.put_job_desktops(rows, *args, records=records, **rest)

    def wrap(store: Any) -> Any:
        nonlocal rig_store
        rig_store = store
        return CancelledInBetween(store, lambda call, vm: None)

    rig_store: Any = None
    rig = Rig(tmp_path, wrap_store=wrap).resume()
    rig.add_collection()
    report = rig.run(create(THREE))
    assert report.state is CollectionState.JOB_ABORTED
    assert {d.undone[-2:] for d in report.desktops} == {("define", "disk")}
    assert (again, rig.vms(), rig.store.list_desktops(), rig.orphans()) == ([], {}, [], [])
    rig.close()


@pytest.mark.parametrize("call", ["put_job_desktops", "find_job"])
def test_records_that_fail_while_desktops_are_taken_back_early(tmp_path: Path, call: str) -> None:
    """What could not be written is done again once nothing is under way."""
    cancelled, failed = threading.Event(), threading.Event()

    def fail_once(name: str, _vm: str) -> None:
        on_loop = threading.current_thread() is not threading.main_thread()
        if name == call and on_loop and cancelled.is_set() and not failed.is_set():
            failed.set()
            raise errors.OperationFailed("the disk is full")

    def wrap(store: Any) -> Any:
        return Meddled(store, fail_once)

    rig = Rig(tmp_path, SLOW, wrap_store=wrap, boot_deadline=600).resume()
    rig.add_collection()
    guid = begin(rig)
    cancelled.set()
    rig.provisioning.cancel(guid)
    assert failed.wait(60)
    report = rig.wait(guid)
    assert report.state is CollectionState.JOB_ABORTED
    assert {d.status for d in report.desktops} == {VmStatus.CANCELLED}
    assert (rig.vms(), rig.files(), rig.orphans()) == ({}, [], [])
    rig.close()


def test_cancelled_patch_keeps_finished_desktops(rig: Rig, faults: Faults) -> None:
    """host2 is finished while host1 still waits for its host to come back."""
    rig.run(create(THREE))
    before = rig.store.list_desktops()
    for name in ("pool-1", "pool-2"):
        faults.plan["set_identity", name] = errors.HostUnavailable("not now")
    guid = rig.execute(later(JobAction.PATCH, on_error=OnError.CONTINUE))
    rig.wait_until(lambda: rig.report(guid).succeeded == 1)
    rig.provisioning.cancel(guid)
    report = rig.wait(guid)
    assert report.state is CollectionState.UPDATE_CANCELLED is rig.state()
    assert [d.status for d in report.desktops] == [
        VmStatus.CANCELLED,
        VmStatus.CANCELLED,
        VmStatus.COMPLETE,
    ]
    assert [bool(d.undone) for d in report.desktops] == [True, True, False]
    assert rig.files() == ["pool-1.1.qcow2", "pool-2.1.qcow2", "pool-3.2.qcow2"]
    assert rig.store.list_desktops() == [*before[:2], replace(before[2], generation=2)]
    assert rig.orphans() == []


def test_undo_is_tried_until_the_host_is_back(slow: Rig) -> None:
    guid = begin(slow)
    simulator.set_fault(slow.simulator, "host1.sim.local", fault="down")
    slow.provisioning.cancel(guid)
    slow.wait_until(lambda: any("host1" in one.error for one in slow.report(guid).desktops))
    assert slow.report(guid).state is CollectionState.CANCEL_INPROGRESS
    simulator.set_fault(slow.simulator, "host1.sim.local")
    assert slow.wait(guid).state is CollectionState.JOB_ABORTED
    assert (slow.files(), slow.orphans()) == ([], [])


def test_cancel_before_the_plan_makes_nothing(tmp_path: Path) -> None:
    """The service dies right after it accepted the job; the next one finds it cancelled."""
    from fakes.provisioning_rig import now
    from openrdms.model.provisioning import parse_job, render_job
    from openrdms.services.provisioning.acceptance import Acceptance

    rig = Rig(tmp_path)
    rig.add_collection()
    text = render_job(create())
    rules = Acceptance(rig.store, rig.hosts, rig.images)
    job, settings = rules.make_job(parse_job(text), text, now())
    rig.store.accept_job(job, settings)
    rig.store.request_cancel(job.guid, now())
    rig.resume()
    report = rig.wait(job.guid)
    assert (report.state, report.requested, report.desktops) == (
        CollectionState.JOB_ABORTED,
        2,
        (),
    )
    assert rig.store.find_provisioning(POOL) is not None
    rig.close()


def test_cancel_revives_a_job_whose_workflow_broke_down(tmp_path: Path) -> None:
    left: list[Exception] = [ZeroDivisionError("a defect")]
    rig = Rig(tmp_path, wrap_store=_raising("list_job_desktops", left)).resume()
    rig.add_collection()
    guid = rig.execute(create())
    rig.wait_until(lambda: not left)

    def cancelled() -> bool:
        rig.provisioning.cancel(guid)
        return rig.job(guid).ended is not None

    rig.wait_until(cancelled)
    assert rig.state() is CollectionState.JOB_ABORTED
    assert rig.vms() == {}
    rig.close()


def test_records_out_of_reach_at_the_beginning_are_waited_for(tmp_path: Path) -> None:
    left: list[Exception] = [errors.OperationFailed("records: locked")] * 2
    rig = Rig(tmp_path, wrap_store=_raising("list_job_desktops", left)).resume()
    rig.add_collection()
    assert rig.run(create()).succeeded == 2
    assert left == []
    rig.close()


def _raising(call: str, left: list[Exception]) -> Any:
    def meddle(name: str, of: str) -> None:
        if name == call and left:
            raise left.pop()

    return lambda store: Meddled(store, meddle)


def test_patch_does_not_start_desktops_of_which_it_knows_nothing(tmp_path: Path) -> None:
    """The host is away for a moment when the job is planned."""
    left: list[Exception] = []
    rig = Rig(tmp_path, wrap_host=_raising("list_vms", left)).resume()
    rig.add_collection()
    rig.run(create([("host1", 1)], start=False))
    left.extend([errors.HostUnavailable("not now")] * 3)
    assert rig.run(later(JobAction.PATCH)).succeeded == 1
    vm = rig.hosts.get("host1").find_vm("pool-1")
    assert vm is not None
    assert vm.state.name == "STOPPED"
    rig.close()


def test_refused_job_imports_no_image(rig: Rig, tmp_path: Path) -> None:
    disk = tmp_path / "gold.raw"
    disk.write_bytes(bytes(4096))
    before = rig.images.list()
    with pytest.raises(errors.NotFound, match="nowhere"):
        rig.execute(create([("nowhere", 1)], base_vm_location=str(disk)))
    with pytest.raises(errors.InvalidParameter, match="NamingPrefix"):
        rig.execute(create(base_vm_location=str(disk), name_prefix=63 * "p"))
    assert rig.images.list() == before
