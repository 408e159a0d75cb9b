"""Updates that are scheduled: kept, begun at their time, cancelled, refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.provisioning_rig import FAST, POOL, Faults, Rig, create, later, now
from openrdms.model import errors
from openrdms.model.audit import AuditQuery
from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.job import JobAction
from openrdms.model.patch import Patch, PatchState
from openrdms.model.provisioning import JobDocument, render_job
from openrdms.model.report import Report

HOUR = 3600
EMPTY = f"{FAST}&users=0"
"""Nobody is logged on, so that no update waits."""


def finish(rig: Rig, guid: str) -> Report:
    """The report of the job that a schedule becomes, when it has ended."""
    rig.wait_until(lambda: rig.store.find_job(guid) is not None)
    return rig.wait(guid)


@contextmanager
def held(rig: Rig) -> Iterator[None]:
    """Nothing that is due begins before the end of the block, however long that takes."""
    execute, go_on = rig.provisioning.execute_patch, threading.Event()

    def wait(patch: Patch) -> None:
        assert go_on.wait(60)
        execute(patch)

    rig.provisioning.execute_patch = wait  # type: ignore[method-assign]
    try:
        yield
    finally:
        go_on.set()
        rig.provisioning.execute_patch = execute  # type: ignore[method-assign]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A pool of two desktops."""
    rig = Rig(tmp_path, EMPTY).resume()
    rig.add_collection()
    rig.run(create())
    yield rig
    rig.close()


def test_update_starts_at_its_time_under_its_guid(rig: Rig) -> None:
    with held(rig):
        patch = rig.schedule(0.3)
        assert rig.state() is CollectionState.UPDATE_SCHEDULED
        assert (rig.patch().state, rig.report(patch.guid).percent) == (PatchState.SUBMITTED, 0)
        assert rig.report(patch.guid).requested == 2
    rig.wait_until(lambda: rig.store.find_job(patch.guid) is not None)
    assert now() >= patch.start
    report = finish(rig, patch.guid)
    assert (report.state, report.succeeded) == (CollectionState.JOB_COMPLETED, 2)
    assert rig.state() is CollectionState.JOB_COMPLETED
    assert rig.files() == ["pool-1.2.qcow2", "pool-2.2.qcow2"]
    assert rig.patch().state is PatchState.UPDATE_COMPLETE
    assert (rig.patch().start, rig.patch().force_log_off) == (patch.start, patch.force_log_off)


def test_time_that_has_passed_is_now(rig: Rig) -> None:
    patch = rig.schedule(-HOUR)
    assert finish(rig, patch.guid).state is CollectionState.JOB_COMPLETED


def test_update_that_was_due_while_no_service_ran_is_made_up_for(tmp_path: Path) -> None:
    rig = Rig(tmp_path, EMPTY).resume()
    rig.add_collection()
    rig.run(create())
    rig.patching.close()
    patch = rig.schedule(0)
    rig.close()
    rig = Rig(tmp_path, EMPTY)
    assert rig.state() is CollectionState.UPDATE_SCHEDULED
    rig.resume()
    assert finish(rig, patch.guid).state is CollectionState.JOB_COMPLETED
    rig.close()


def test_cancel_before_the_time_leaves_no_job(rig: Rig) -> None:
    patch = rig.schedule(HOUR)
    for _ in range(2):
        rig.patching.cancel(POOL)
    assert rig.state() is CollectionState.UPDATE_CANCELLED
    assert rig.patch().state is PatchState.UPDATE_CANCELLED
    assert rig.report(patch.guid).state is CollectionState.UPDATE_CANCELLED
    assert rig.store.find_job(patch.guid) is None
    assert finish(rig, rig.schedule(0).guid).state is CollectionState.JOB_COMPLETED


def test_cancel_while_the_job_runs_cancels_the_job(tmp_path: Path) -> None:
    faults, go_on = Faults(), threading.Event()
    rig = Rig(tmp_path, FAST, wrap_host=faults.wrap).resume()
    rig.add_collection()
    rig.run(create())

    def hold(call: str, vm: str) -> None:
        assert call != "create_disk" or go_on.wait(60)

    faults.before = hold
    patch = rig.schedule(0)
    rig.wait_until(lambda: rig.store.find_job(patch.guid) is not None)
    assert rig.patch().state is PatchState.UPDATE_STARTED
    rig.patching.cancel(POOL)
    go_on.set()
    assert finish(rig, patch.guid).state is CollectionState.UPDATE_CANCELLED
    assert (rig.state(), rig.patch().state) == (
        CollectionState.UPDATE_CANCELLED,
        PatchState.UPDATE_CANCELLED,
    )
    assert rig.orphans() == []
    rig.close()


def test_cancel_without_anything_to_cancel_is_refused(rig: Rig) -> None:
    with pytest.raises(errors.InvalidOperation, match="nothing is scheduled"):
        rig.patching.cancel(POOL)
    finish(rig, rig.schedule(0).guid)
    with pytest.raises(errors.InvalidOperation, match="ended"):
        rig.patching.cancel(POOL)


def test_jobs_and_other_updates_wait_for_a_cancel(rig: Rig) -> None:
    rig.schedule(HOUR)
    for action in (JobAction.PATCH, JobAction.DELETE):
        with pytest.raises(errors.InvalidOperation, match="UPDATE_SCHEDULED"):
            rig.execute(later(action))
    with pytest.raises(errors.InvalidOperation, match="UPDATE_SCHEDULED"):
        rig.schedule(2 * HOUR)
    rig.patching.cancel(POOL)
    assert rig.run(later(JobAction.DELETE)).state is CollectionState.JOB_COMPLETED


def test_collection_with_a_scheduled_update_is_not_deleted(rig: Rig) -> None:
    rig.run(later(JobAction.DELETE))
    rig.schedule(HOUR)
    with pytest.raises(errors.InvalidOperation, match="cancel it first"):
        rig.store.delete_collection(POOL)
    rig.patching.cancel(POOL)
    rig.store.delete_collection(POOL)
    rig.add_collection()
    assert rig.patching.find(POOL) is None


def test_update_that_became_impossible_fails_and_says_why(rig: Rig) -> None:
    with held(rig):
        patch = rig.schedule(0.3, later(JobAction.PATCH, "pool-1"))
        rig.store.change_desktop("pool-1", lambda _: None)
    rig.wait_until(lambda: rig.patch().state is PatchState.UPDATE_FAILED)
    assert rig.state() is CollectionState.UPDATE_FAILED
    assert "pool-1" in rig.patch().error
    assert rig.report(patch.guid).state is CollectionState.UPDATE_FAILED
    with pytest.raises(errors.InvalidOperation, match="pool-1"):
        rig.patching.cancel(POOL)


def test_earlier_update_does_not_wait_for_a_later_one(rig: Rig) -> None:
    rig.schedule(HOUR)
    rig.add_collection("Other")
    rig.run(create(collection="Other", name_prefix="other-"))
    document = render_job(later(JobAction.PATCH, collection="Other"))
    rig.patching.schedule("other", now(), now() + timedelta(seconds=1), document)
    patch = rig.patching.find("OTHER")
    assert patch is not None
    assert finish(rig, patch.guid).state is CollectionState.JOB_COMPLETED
    assert rig.state() is CollectionState.UPDATE_SCHEDULED


def test_update_that_was_executed_at_once_has_its_times(rig: Rig) -> None:
    assert rig.patching.find(POOL) is None
    report = rig.run(later(JobAction.PATCH))
    patch = rig.patch()
    assert (patch.guid, patch.start) == (report.job_guid, report.started)
    assert patch.state is PatchState.UPDATE_COMPLETE


@pytest.mark.parametrize(
    ("document", "error"),
    [
        (create(), "Action"),
        (later(JobAction.DELETE), "Action"),
        (later(JobAction.PATCH, collection="Other"), "Name"),
        (later(JobAction.PATCH, base_vm_location="image:none"), "none"),
        (later(JobAction.PATCH, "nobody"), "nobody"),
    ],
)
def test_documents_that_are_no_update_of_this_collection(
    rig: Rig, document: JobDocument, error: str
) -> None:
    rig.add_collection("Other")
    rig.run(create(collection="Other", name_prefix="other-"))
    with pytest.raises(errors.RdmsError, match=error):
        rig.schedule(HOUR, document)
    assert rig.state() is CollectionState.JOB_COMPLETED


@pytest.mark.parametrize(
    ("start", "force", "field"),
    [
        (now(), now() - timedelta(seconds=1), "ForceLogOffTime"),
        (timedelta(hours=1), now(), "StartTime"),
        (now(), timedelta(hours=1), "ForceLogOffTime"),
        (datetime.max.replace(tzinfo=UTC), datetime.max, "ForceLogOffTime"),
    ],
)
def test_times_that_are_none(
    rig: Rig, start: datetime | timedelta, force: datetime | timedelta, field: str
) -> None:
    if force == datetime.max:
        force = datetime.fromisoformat("9999-12-31T23:59:59-12:00")
    with pytest.raises(errors.InvalidParameter) as refused:
        rig.patching.schedule(POOL, start, force, render_job(later(JobAction.PATCH)))
    assert refused.value.field == field


def test_last_update_is_told_of_however_it_was_asked_for(rig: Rig) -> None:
    scheduled = finish(rig, rig.schedule(0).guid)
    executed = rig.run(later(JobAction.PATCH))
    assert (rig.patch().guid, rig.patch().start) == (executed.job_guid, executed.started)
    rig.schedule(HOUR)
    assert rig.patch().guid not in (scheduled.job_guid, executed.job_guid)


def test_last_moment_that_powershell_knows_can_be_waited_for(rig: Rig) -> None:
    far = datetime.fromisoformat("9999-12-31T00:00:00-08:00")
    rig.patching.schedule(POOL, far, far, render_job(later(JobAction.PATCH)))
    assert rig.patch().start == far
    rig.patching.cancel(POOL)


@pytest.mark.parametrize(
    ("kind", "managed"), [(CollectionType.MANUAL_PERSONAL, True), (CollectionType.POOLED, False)]
)
def test_only_managed_pooled_collections_are_updated(
    rig: Rig, kind: CollectionType, managed: bool
) -> None:
    rig.add_collection("Other", kind, managed=managed)
    document = render_job(later(JobAction.PATCH, collection="Other"))
    with pytest.raises(errors.InvalidOperation, match=r"pooled|managed"):
        rig.patching.schedule("Other", now(), now() + timedelta(seconds=1), document)


def test_what_the_clock_began_is_in_the_audit_log(rig: Rig) -> None:
    done = rig.schedule(0)
    finish(rig, done.guid)
    with held(rig):
        failed = rig.schedule(0.3, later(JobAction.PATCH, "pool-1")).guid
        rig.store.change_desktop("pool-1", lambda _: None)
    rig.wait_until(lambda: rig.patch().state is PatchState.UPDATE_FAILED)

    def answers() -> list[tuple[object, str]]:
        calls = rig.store.list_audited_calls(AuditQuery())
        return [
            (call.asked.parameters["JobGuid"], call.answer.result) for call in calls if call.answer
        ]

    expected = [(done.guid, "0"), (failed, "0x80041002")]
    rig.wait_until(lambda: answers() == expected)
