"""Scheduled updates as jobs, and jobs as updates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from openrdms.model.collection import CollectionState
from openrdms.model.job import END_STATE, Job, JobAction, Outcome
from openrdms.model.patch import (
    FORCE_LOG_OFF,
    Patch,
    PatchState,
    as_job,
    as_patch,
    force_time,
    state_of_job,
)
from openrdms.model.report import build_report, parse_report, render_report

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
PATCH = Patch("farm", "{G}", NOW, NOW + timedelta(hours=1), "<job />", 7, NOW - timedelta(days=1))
JOB = Job(
    "{G}",
    "farm",
    JobAction.PATCH,
    CollectionState.UPDATE_VIRTUAL_DESKTOP_INPROGRESS,
    "<job />",
    {"requested": 7},
    NOW,
    NOW,
)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.COMPLETED, PatchState.UPDATE_COMPLETE),
        (Outcome.FAILED, PatchState.UPDATE_FAILED),
        (Outcome.CANCELLED, PatchState.UPDATE_CANCELLED),
    ],
)
def test_ended_job_tells_how_the_update_ended(outcome: Outcome, state: PatchState) -> None:
    ended = replace(JOB, state=END_STATE[JobAction.PATCH][outcome], ended=NOW)
    assert state_of_job(ended, NOW) is state
    assert as_patch(ended, NOW).state is state


@pytest.mark.parametrize(
    "state",
    [CollectionState.UPDATE_VIRTUAL_DESKTOP_INPROGRESS, CollectionState.CANCEL_INPROGRESS],
)
def test_job_that_runs_is_an_update_that_has_started(state: CollectionState) -> None:
    assert state_of_job(replace(JOB, state=state), NOW) is PatchState.UPDATE_STARTED


@pytest.mark.parametrize(
    ("state", "shown", "percent"),
    [
        (PatchState.SUBMITTED, CollectionState.UPDATE_SCHEDULED, 0),
        (PatchState.UPDATE_CANCELLED, CollectionState.UPDATE_CANCELLED, 100),
        (PatchState.UPDATE_FAILED, CollectionState.UPDATE_FAILED, 100),
    ],
)
def test_update_without_a_job_has_a_report(
    state: PatchState, shown: CollectionState, percent: int
) -> None:
    report = build_report(as_job(replace(PATCH, state=state)), [])
    assert (report.state, report.percent, report.requested) == (shown, percent, 7)
    assert parse_report(render_report(report)) == report


def test_executed_job_is_an_update_at_once() -> None:
    patch = as_patch(JOB, NOW)
    assert (patch.start, patch.force_log_off, patch.requested) == (NOW, NOW, 7)


def test_force_has_begun_at_its_time() -> None:
    force = NOW + timedelta(hours=1)
    job = replace(JOB, options={FORCE_LOG_OFF: force.isoformat()})
    assert force_time(job) == force
    assert force_time(JOB) is None
    moments = (NOW, force - timedelta(seconds=1), force, force + timedelta(days=1))
    begun = [state_of_job(job, now) is PatchState.FORCE_LOGOFF_STARTED for now in moments]
    assert begun == [False, False, True, True]
    ended = replace(job, state=END_STATE[JobAction.PATCH][Outcome.COMPLETED], ended=force)
    assert state_of_job(ended, force) is PatchState.UPDATE_COMPLETE
