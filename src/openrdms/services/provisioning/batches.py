"""Batches: one phase of at most BATCH_SIZE desktops of one host, each a durable step.

Before anything happens on the host the intent of all its desktops is one transaction, after it
the result is another. In between, desktops go on at the same time, as the host's lane allows.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from openrdms.jobs.lanes import Halted
from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.job import JobAction, JobDesktop, Phase, VmStatus
from openrdms.services.provisioning import stages
from openrdms.services.provisioning.stages import Act, Stage
from openrdms.services.provisioning.work import Work

BATCH_SIZE = 50

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while a host or guest is only temporarily out of reach."""

MAX_REFUSALS = 5
"""How often an undo is asked for of a host that refuses it; then the desktop has failed."""

_LONGEST_PAUSE = 30.0
_TEMPORARY = (errors.HostUnavailable, errors.GuestUnreachable)

_log = structlog.get_logger(__name__)


def make_batches(rows: Iterable[JobDesktop]) -> list[tuple[int, ...]]:
    """Ordinals by host, in chunks. The same for the same rows, whatever state they are in."""
    hosts: dict[str, list[int]] = {}
    for row in rows:
        hosts.setdefault(row.host, []).append(row.ordinal)
    return [
        tuple(ordinals[at : at + BATCH_SIZE])
        for ordinals in hosts.values()
        for at in range(0, len(ordinals), BATCH_SIZE)
    ]


async def carry_out(work: Work, stage: Stage, ordinals: Sequence[int], *, last: bool) -> None:
    """One phase forward. Desktops that failed, or are further already, are left alone."""
    if work.halted:
        return
    rows = [row for row in map(work.rows.__getitem__, ordinals) if _is_due(work, row, stage)]
    if not rows:
        return
    intents = [replace(r, intended=stage.phase, status=VmStatus.IN_PROGRESS) for r in rows]
    await work.write(intents)
    results = await asyncio.gather(
        *(_attempt(work, stage, row, before) for row, before in zip(intents, rows, strict=True))
    )
    await _write_results(work, stage, results, last=last)


def _is_due(work: Work, row: JobDesktop, stage: Stage) -> bool:
    """True when the phase before was the last one done."""
    phases = [None, *work.phases]
    due = row.status in (VmStatus.PENDING, VmStatus.IN_PROGRESS)
    return due and phases.index(row.done) + 1 == phases.index(stage.phase)


async def _attempt(work: Work, stage: Stage, row: JobDesktop, before: JobDesktop) -> JobDesktop:
    """One desktop: its row as the result. ``before`` is its row for when nothing was begun."""
    begun = before.intended == stage.phase
    try:
        for pause in (*PAUSES, None):
            try:
                await stage.do(work, row)
                return replace(row, done=stage.phase)
            except _TEMPORARY as error:
                if pause is None:
                    return _fail(work, row, str(error))
                begun = True
                await work.wait(asyncio.Event(), pause)
    except Halted as halted:
        return row if begun or halted.begun else before
    except errors.RdmsError as error:
        return _fail(work, row, str(error))
    except Exception as error:  # noqa: BLE001  a defect of ours must not leave a job without end
        _log.exception("desktop failed for a defect", job=work.job.guid, desktop=row.name)
        return _fail(work, row, f"internal error: {error!r}")
    return row


def _fail(work: Work, row: JobDesktop, words: str) -> JobDesktop:
    if work.stops_on_error:
        work.run.halt.set()
    _log.warning("desktop failed", job=work.job.guid, desktop=row.name, reason=words)
    return replace(row, status=VmStatus.FAILED, error=words)


async def _write_results(
    work: Work, stage: Stage, results: Sequence[JobDesktop], *, last: bool
) -> None:
    """The result of a batch; with the last phase the desktops' records come or go."""
    if not last:
        await work.write(results)
        return
    done = [row for row in results if row.done == stage.phase]
    finished = {row.ordinal: replace(row, status=VmStatus.COMPLETE) for row in done}
    rows = [finished.get(row.ordinal, row) for row in results]
    records: list[Desktop] = []
    if work.job.action not in (JobAction.DELETE, JobAction.PREP):
        records = [stages.make_record(work, row) for row in done]
    dropped = [row.name for row in done] if work.job.action is JobAction.DELETE else []
    await work.write(rows, records=records, dropped=dropped)


async def take_back(
    work: Work, stage: Stage, ordinals: Sequence[int], after: Mapping[int, Sequence[Phase]]
) -> None:
    """Undo one phase of desktops that had begun it.

    ``after`` has by ordinal the phases whose undo comes first: where one of them could not be
    undone nothing more is, since a disk must not go while a VM may use it.
    """
    if stage.undo is None:
        return
    rows = [work.rows[ordinal] for ordinal in ordinals]
    rows = [
        row
        for row in rows
        if str(stage.phase) not in row.undone and set(after[row.ordinal]) <= set(row.undone)
    ]
    if not rows:
        return
    succeeded = {row.ordinal for row in await persist(work, stage.undo, rows)}
    undone = [work.rows[row.ordinal] for row in rows if row.ordinal in succeeded]
    stuck = [work.rows[row.ordinal] for row in rows if row.ordinal not in succeeded]
    making = work.job.action in (JobAction.CREATE, JobAction.UPDATE)
    await work.write(
        [
            *(replace(row, undone=(*row.undone, str(stage.phase))) for row in undone),
            *(replace(row, status=VmStatus.FAILED) for row in stuck),
        ],
        records=[_make_remnant(work, row) for row in stuck] if making else [],
        dropped=[row.name for row in undone] if making else [],
    )


def _make_remnant(work: Work, row: JobDesktop) -> Desktop:
    """The record of a desktop that could not be taken back, for a Delete to find."""
    record = stages.make_record(work, row)
    return replace(record, collection="", status=DesktopStatus.FAILED)


async def persist(work: Work, act: Act, rows: Sequence[JobDesktop]) -> list[JobDesktop]:
    """Do it for all rows, with patience; returns those where it succeeded."""
    done = await asyncio.gather(*(_until_done(work, act, row) for row in rows))
    return [row for row, succeeded in zip(rows, done, strict=True) if succeeded]


async def _until_done(work: Work, act: Act, row: JobDesktop) -> bool:
    """Wait for hosts and guests that are away as long as it takes; what refuses is asked again
    a few times only. What was in the way is in the row's error.
    """
    refusals = 0
    for attempt in itertools.count():
        try:
            await act(work, row)
            return True
        except Exception as error:  # noqa: BLE001  undo meets everything that can go wrong
            refusals += not isinstance(error, _TEMPORARY)
            pause = min(_LONGEST_PAUSE, 0.1 * 2 ** min(attempt, 10))
            _log.warning(
                "cannot take back or clean up yet",
                job=work.job.guid,
                desktop=row.name,
                reason=repr(error),
                refusals=refusals,
            )
            await work.note(row, str(error) or repr(error))
        if refusals == MAX_REFUSALS:
            return False
        await asyncio.sleep(pause)
    raise AssertionError("itertools.count ends")
