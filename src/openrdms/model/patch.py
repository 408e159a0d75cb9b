"""Scheduled updates of collections (SchedulePatch, facts c.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from openrdms.model.collection import CollectionState
from openrdms.model.job import Job, JobAction


class PatchState(IntEnum):
    """State of GetPatchProperties."""

    INITIALIZED = 0
    SUBMITTED = 1
    UPDATE_STARTED = 2
    FORCE_LOGOFF_STARTED = 3
    UPDATE_COMPLETE = 4
    UPDATE_FAILED = 5
    UPDATE_CANCELLED = 6


@dataclass(frozen=True)
class Patch:
    """An update that was scheduled: the last one of its collection.

    ``guid`` is that of the job it becomes at ``start``; until ``force_log_off`` users may stay.
    ``document`` is the job XML as received, ``requested`` how many desktops it means. ``state``
    says no more than UPDATE_STARTED once there is the job; ``error`` is why there could be none.
    """

    collection: str
    guid: str
    start: datetime
    force_log_off: datetime
    document: str
    requested: int
    modified: datetime
    state: PatchState = PatchState.SUBMITTED
    error: str = ""


_ENDS = {
    CollectionState.JOB_COMPLETED: PatchState.UPDATE_COMPLETE,
    CollectionState.UPDATE_CANCELLED: PatchState.UPDATE_CANCELLED,
    CollectionState.UPDATE_FAILED: PatchState.UPDATE_FAILED,
}

_BEFORE_THE_JOB = {
    PatchState.UPDATE_CANCELLED: CollectionState.UPDATE_CANCELLED,
    PatchState.UPDATE_FAILED: CollectionState.UPDATE_FAILED,
}


NEVER = 9999
"""Year of a ForceLogOffTime at which nobody is logged off: as late as all clients can say."""

FORCE_LOG_OFF = "force_log_off"
"""Option of a Patch job: ISO 8601."""


def force_time(job: Job) -> datetime | None:
    """Until when users may stay; None for a job that asks nobody."""
    time = job.options.get(FORCE_LOG_OFF)
    return datetime.fromisoformat(str(time)) if time else None


def state_of_job(job: Job, now: datetime) -> PatchState:
    """How far the update is that a Patch job carries out."""
    force = force_time(job)
    forced = force is not None and now >= force
    running = PatchState.FORCE_LOGOFF_STARTED if forced else PatchState.UPDATE_STARTED
    return _ENDS.get(job.state, running)


def as_patch(job: Job, now: datetime) -> Patch:
    """A Patch job that nobody scheduled, as the update that it was: at once, for everybody."""
    requested = int(job.options.get("requested", 0))
    return Patch(
        collection=job.collection,
        guid=job.guid,
        start=job.started,
        force_log_off=job.started,
        document=job.document,
        requested=requested,
        modified=job.modified,
        state=state_of_job(job, now),
        error=job.error,
    )


def as_job(patch: Patch) -> Job:
    """What the report says of an update that has not become a job, or never will."""
    state = _BEFORE_THE_JOB.get(patch.state, CollectionState.UPDATE_SCHEDULED)
    over = state is not CollectionState.UPDATE_SCHEDULED
    return Job(
        guid=patch.guid,
        collection=patch.collection,
        action=JobAction.PATCH,
        state=state,
        document=patch.document,
        options={"requested": patch.requested},
        started=patch.start,
        modified=patch.modified,
        ended=patch.modified if over else None,
        error=patch.error,
    )
