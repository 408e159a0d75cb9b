"""How long desktops on their way take, from what such steps took lately."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from openrdms.jobs.tokens import Kind
from openrdms.model.job import Job, JobAction, JobDesktop, VmStatus
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning.step_times import BOOT
from openrdms.services.provisioning.work import Tools

_OPEN_ENDED = frozenset({ReasonCode.HOST_AWAY, ReasonCode.USER_LOGGED_ON})
"""Without an estimate of their own these waits may take for ever."""


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


def estimate(tools: Tools, action: JobAction, shares: Mapping[str, Share]) -> Estimate:
    """Until the last desktop of the slowest host is done; hosts work at the same time.

    Users, whom an update may wait for, are not counted.
    """
    known: dict[str, float] = {}
    unknown: set[str] = set()
    longest = 0.0
    for host, share in shares.items():
        for kind in _kinds(action, share):
            seconds = _usual(tools, host, kind)
            if seconds is None:
                unknown.add(kind)
            known[kind] = seconds or 0.0
        longest = max(longest, _last_done(tools, host, action, share, known))
    if action is JobAction.PREP or unknown:
        return Estimate(None, f"never measured: {', '.join(sorted(unknown)) or 'copy'}")
    steps = ", ".join(f"{kind} {seconds:.2g} s" for kind, seconds in sorted(known.items()))
    return Estimate(math.ceil(longest), f"measured: {steps}" if steps else "nothing to do")


def estimate_end(
    tools: Tools, job: Job, rows: Iterable[JobDesktop], waits: Mapping[int, Wait]
) -> datetime | None:
    """When a running job will be done: no sooner than the longest wait that is foreseen.

    None when there is no telling, as while a host is away that something waits for.
    """
    left = [row for row in rows if row.status in (VmStatus.PENDING, VmStatus.IN_PROGRESS)]
    if job.ended or job.cancel_requested or not left:
        return None
    if any(wait.code in _OPEN_ENDED and wait.seconds is None for wait in waits.values()):
        return None
    expected = estimate(tools, job.action, share_out(job, left))
    longest = max((wait.seconds or 0.0 for wait in waits.values()), default=0.0)
    if expected.seconds is None:
        return None
    return tools.clock() + timedelta(seconds=max(expected.seconds, longest))


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


def _kinds(action: JobAction, share: Share) -> tuple[str, ...]:
    if action is JobAction.DELETE:
        return (Kind.STOP,)
    making: tuple[str, ...] = (Kind.CLONE, Kind.DEFINE)
    if share.started:
        making += (Kind.START, BOOT)
        if action is JobAction.PATCH:
            making += (Kind.STOP,)
    return making


def _usual(tools: Tools, host: str, kind: str) -> float | None:
    """On that host, or on others when there was none yet."""
    here = tools.times.estimate(host, kind)
    if here is not None:
        return here
    others = [tools.times.estimate(other.name, kind) for other in tools.hosts.all()]
    found = [seconds for seconds in others if seconds is not None]
    return sum(found) / len(found) if found else None


def _last_done(
    tools: Tools, host: str, action: JobAction, share: Share, seconds: Mapping[str, float]
) -> float:
    """Calls of one host share its limit; desktops under way, guests that boot too, its factor."""
    if action is JobAction.DELETE:
        return share.desktops * seconds[Kind.STOP] / tools.tokens.load(host).limit
    each = seconds[Kind.CLONE] + seconds[Kind.DEFINE]
    calls = share.desktops * each
    if not share.started:
        return calls / tools.tokens.load(host).limit
    starting = seconds[Kind.START] + seconds.get(Kind.STOP, 0.0)
    whole = each + starting + seconds[BOOT]
    calls += share.started * starting
    pace = max(calls / tools.tokens.load(host).limit, share.started * whole / tools.factor(host))
    return max(whole, pace + seconds[BOOT])
