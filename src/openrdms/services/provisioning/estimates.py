"""How long desktops on their way take, from what such steps took lately."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby

from openrdms.jobs.tokens import Kind
from openrdms.model import rollout
from openrdms.model.job import PHASES, Job, JobAction, JobDesktop, VmStatus
from openrdms.model.pace import Pace
from openrdms.model.patch import force_time
from openrdms.model.provisioning import parse_job
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning.step_times import BOOT, UNDO
from openrdms.services.provisioning.work import Tools

_OPEN = (VmStatus.PENDING, VmStatus.IN_PROGRESS)

_OPEN_ENDED = frozenset({ReasonCode.HOST_AWAY, ReasonCode.USER_LOGGED_ON, ReasonCode.IMAGE_COPY})
"""Without an estimate of their own these waits may take for ever."""

_REMOVALS = len(PHASES[JobAction.DELETE]) - 1
"""Calls that a Delete makes for a desktop when it has stopped it, one after the other."""


@dataclass(frozen=True)
class Share:
    """What is to be done on one host: ``desktops``, of which ``started`` are to run at the end."""

    desktops: int
    started: int


@dataclass(frozen=True)
class Estimate:
    """``seconds`` is None when there is no telling; ``basis`` says what it rests on, or lacks."""

    seconds: int | None
    basis: str


@dataclass
class _Times:
    """What was measured, as far as it was asked for."""

    tools: Tools
    known: dict[str, float] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def take(self, host: str, kind: str) -> float:
        """Seconds; 0 when there is no telling."""
        seconds = self.tools.times.estimate(host, kind)
        if seconds is None:
            self.unknown.add(kind)
            return 0.0
        self.known[kind] = seconds
        return seconds

    def pace(self, host: str, action: JobAction | Kind, share: Share) -> Pace:
        """Of such a job on the host, or of what is taken back by calls of that kind."""
        boot = 0.0
        if isinstance(action, Kind):
            lanes = {action: self.take(host, UNDO)}
        elif action is JobAction.DELETE:
            removals = _REMOVALS * self.take(host, Kind.REMOVE)
            lanes = {Kind.STOP: self.take(host, Kind.STOP), Kind.REMOVE: removals}
        else:
            lanes = {Kind.START: self.take(host, Kind.CLONE) + self.take(host, Kind.DEFINE)}
        alone = sum(lanes.values())
        if Kind.START in lanes and share.started:
            start, boot = self.take(host, Kind.START), self.take(host, BOOT)
            lanes[Kind.START] += start * share.started / share.desktops
            alone += start + boot
        tokens = self.tools.tokens
        calls = max(took / tokens.load(host, lane).limit for lane, took in lanes.items())
        return Pace(calls, alone, boot, tokens.factor(host))

    def wave(self, job: Job, rows: Sequence[JobDesktop], most: int) -> tuple[int, float]:
        """How often as many as may be are begun, and how long each time takes: what is done of an
        update is handed out all together, and only then others are taken.
        """
        times = math.ceil(len(rows) / most)
        shares = share_out(job, rows)
        each = max(
            self.pace(host, job.action, share).last(
                math.ceil(share.desktops / times), math.ceil(share.started / times)
            )
            for host, share in shares.items()
        )
        return times, each

    def trial(self, job: Job, rows: Sequence[JobDesktop]) -> float:
        """What it takes to see whether an update is good of which all desktops are left off."""
        if job.action is not JobAction.PATCH or any(row.was_running for row in rows):
            return 0.0
        return self.take(rows[0].host, Kind.START) + self.take(rows[0].host, BOOT)


def estimate(
    tools: Tools,
    job: Job,
    rows: Collection[JobDesktop],
    *,
    stay: float | None = 0.0,
    lacking: Iterable[str] = (),
) -> Estimate:
    """Until all of the rows are done that are not: wave after wave, in each all hosts at once.

    Users, whom an update may wait for, are not counted. They may ``stay`` for so many seconds, for
    ever with None; until then no more desktops are in work at a time than may be unavailable.
    ``lacking`` are hosts to which its image is to be copied.
    """
    times = _Times(tools)
    most = find_most(job, len(rows), forced=stay == 0)
    seconds = _carry_waves(times, job, rows, most)
    if stay:
        at_once = find_most(job, len(rows), forced=True)
        seconds = min(seconds, stay + _carry_waves(times, job, rows, at_once))
    seconds += max((times.take(host, Kind.COPY) for host in lacking), default=0.0)
    if job.action is JobAction.PREP or times.unknown:
        return Estimate(None, f"never measured: {', '.join(sorted(times.unknown)) or 'copy'}")
    if not times.known:
        return Estimate(0, "nothing to do")
    steps = ", ".join(f"{kind} {took:.2g} s" for kind, took in sorted(times.known.items()))
    paced = f"; at most {most} at a time" if job.action is JobAction.PATCH else ""
    return Estimate(math.ceil(seconds), f"measured: {steps}{paced}")


def _carry_waves(times: _Times, job: Job, rows: Iterable[JobDesktop], most: int) -> float:
    seconds = 0.0
    for wave in _waves(rows):
        rounds, each = times.wave(job, wave, most)
        seconds += rounds * each + times.trial(job, wave)
    return seconds


def estimate_end(
    tools: Tools, job: Job, rows: Collection[JobDesktop], waits: Mapping[int, Wait]
) -> datetime | None:
    """When a running job will be done: no sooner than the longest wait that is foreseen.

    None when there is no telling, as while a host is away that something waits for.
    """
    if job.ended or job.cancel_requested or not any(row.status in _OPEN for row in rows):
        return None
    if any(wait.code in _OPEN_ENDED and wait.seconds is None for wait in waits.values()):
        return None
    now, force = tools.clock(), force_time(job)
    stay = max(0.0, (force - now).total_seconds()) if force else 0.0
    left = estimate(tools, job, rows, stay=stay).seconds
    if left is None:
        return None
    copies = _longest(wait for wait in waits.values() if wait.code is ReasonCode.IMAGE_COPY)
    return now + timedelta(seconds=max(left + copies, _longest(waits.values())))


def _longest(waits: Iterable[Wait]) -> float:
    return max((wait.seconds or 0.0 for wait in waits), default=0.0)


def expect_begins(
    tools: Tools,
    host: str,
    action: JobAction | Kind,
    *,
    starts: bool,
    ages: Iterable[float] = (),
    calling: int = 0,
) -> Iterator[float] | None:
    """Seconds until work begins on each of those that stand in line for a host (see Pace.begins),
    of such a job, or of what is taken back by calls of that kind. None when there is no telling.
    """
    times = _Times(tools)
    pace = times.pace(host, action, Share(1, int(starts)))
    return None if times.unknown else pace.begins(ages, calling)


def expect_wave(
    tools: Tools, job: Job, rows: Sequence[JobDesktop], most: int
) -> tuple[int, float | None]:
    """How often desktops of a wave are begun, ``most`` at a time, and the seconds each time takes;
    None when there is no telling.
    """
    times = _Times(tools)
    number, each = times.wave(job, rows, most) if rows else (0, 0.0)
    return number, None if times.unknown else each


def find_most(job: Job, total: int, *, forced: bool) -> int:
    """How many of a job's desktops may be in work at a time."""
    if job.action is not JobAction.PATCH:
        return max(1, total)
    return rollout.allowed(_max_unavailable(job.document), total, forced=forced)


@lru_cache(maxsize=32)
def _max_unavailable(document: str) -> rollout.Share | None:
    return parse_job(document).max_unavailable


def _waves(rows: Iterable[JobDesktop]) -> Iterator[list[JobDesktop]]:
    left = sorted((row for row in rows if row.status in _OPEN), key=lambda row: row.wave)
    return (list(wave) for _, wave in groupby(left, key=lambda row: row.wave))


def share_out(job: Job, rows: Iterable[JobDesktop]) -> dict[str, Share]:
    """What each host has to do, in order of its name."""
    counts = Counter((row.host, _is_to_run(job, row)) for row in rows)
    return {
        host: Share(counts[host, True] + counts[host, False], counts[host, True])
        for host in sorted({host for host, _ in counts})
    }


def _is_to_run(job: Job, row: JobDesktop) -> bool:
    if job.action is JobAction.PATCH:
        return row.was_running
    return job.action is not JobAction.DELETE and bool(job.options.get("start", True))
