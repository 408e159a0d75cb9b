"""Lists of jobs: what is asked for, and what is shown of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from openrdms.model.collection import CollectionState
from openrdms.model.job import PHASES, JobAction, Phase, VmStatus


@dataclass(frozen=True)
class JobQuery:
    """Jobs that meet all conditions; "" and None are none."""

    running: bool | None = None
    collection: str = ""
    action: JobAction | None = None


class JobPlace(NamedTuple):
    """Where a job is in lists, of which the newest is first."""

    started: datetime
    guid: str


class JobRow(NamedTuple):
    """What a list shows of a job (see ``Job``)."""

    guid: str
    collection: str
    action: JobAction
    state: CollectionState
    options: dict[str, Any]
    started: datetime
    modified: datetime
    ended: datetime | None
    cancel_requested: datetime | None
    error: str

    @property
    def place(self) -> JobPlace:
        """Where it is in lists."""
        return JobPlace(self.started, self.guid)


class JobCount(NamedTuple):
    """How many jobs are on record with that action and state."""

    action: JobAction
    state: CollectionState
    ended: bool
    jobs: int


class PhaseCount(NamedTuple):
    """How many desktops of a job are so far."""

    job: str
    status: VmStatus
    done: Phase | None
    desktops: int


class WaveCount(NamedTuple):
    """How many desktops of a wave, counted from 0, are so far."""

    wave: int
    status: VmStatus
    desktops: int


@dataclass(frozen=True)
class Progress:
    """``percent`` is the share of the phases that are done: 100 only when nothing is left."""

    desktops: int
    succeeded: int
    failed: int
    percent: int


def count_progress(row: JobRow, counts: Iterable[PhaseCount]) -> Progress:
    """How far a job is, from the counts of its desktops; without any it has no plan yet."""
    phases = PHASES[row.action]
    desktops = done = succeeded = failed = 0
    for one in counts:
        desktops += one.desktops
        succeeded += one.desktops * (one.status is VmStatus.COMPLETE)
        failed += one.desktops * (one.status is VmStatus.FAILED)
        done += one.desktops * _phases_done(phases, one)
    percent = 100 if row.ended else min(99, 100 * done // (len(phases) * max(1, desktops)))
    requested = int(row.options.get("requested", desktops))
    return Progress(max(requested, desktops), succeeded, failed, percent)


def _phases_done(phases: tuple[Phase, ...], one: PhaseCount) -> int:
    if one.status in (VmStatus.PENDING, VmStatus.IN_PROGRESS):
        return phases.index(one.done) + 1 if one.done in phases else 0
    return len(phases)
