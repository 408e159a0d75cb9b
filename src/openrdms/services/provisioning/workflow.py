"""One job from its plan to its end, as a durable workflow.

Whatever is read here between steps must be the same at every replay: the plan, which is written
once, and what steps returned. Everything else is looked at inside the steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from openrdms.jobs.engine import Run, Step
from openrdms.model import errors
from openrdms.model.job import END_STATE, Job, JobAction, JobDesktop, Outcome, Phase, VmStatus
from openrdms.services.provisioning import batches, planning, recipes
from openrdms.services.provisioning.stages import Act, Stage
from openrdms.services.provisioning.work import Tools, Work

Verdict = dict[str, Any]
"""What ``settle`` decides, as plain data: outcome, error, cancel_seen, undo and kept.

``undo`` has for each ordinal to take back the name of the last phase that may have begun.
"""

Stages = Sequence[Stage]
T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def run_job(tools: Tools, run: Run) -> None:
    """Carry out the job called ``run.guid``, from wherever an earlier process left it."""
    job = await _patiently(lambda: asyncio.to_thread(tools.store.find_job, run.guid))
    if job is None or job.ended:
        return
    stages = recipes.stages_of(job)
    work = Work(tools, run, job, tuple(stage.phase for stage in stages))
    await _patiently(work.load)
    work.defect = await run.step("plan", lambda: _plan(work))
    await _patiently(work.load)
    await _go_forward(work, stages)
    work.gate = None
    ended = False
    while not ended:
        ended = await _finish(work, stages)


async def _patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Read records outside a step, where the engine repeats nothing."""
    for pause in batches.PAUSES:
        try:
            return await read()
        except errors.OperationFailed:
            await asyncio.sleep(pause)
    return await read()


async def _finish(work: Work, stages: Stages) -> bool:
    """Settle, take back, clean up, end. False when a cancel came that the end did not expect."""
    verdict = await work.run.step("settle", lambda: _settle(work))
    await _take_back(work, stages, verdict)
    await _clean_up(work, verdict)
    return await work.run.step("end", lambda: _end(work, verdict))


async def _plan(work: Work) -> str:
    """Write the plan, unless there is one or the job was cancelled before. Words on failure."""
    if work.halted or work.rows:
        return ""
    for pause in (*batches.PAUSES, None):
        try:
            await work.with_store(planning.plan_job, work.tools, work.job)
            break
        except errors.RdmsError as error:
            if pause is None or not isinstance(error, errors.HostUnavailable):
                return str(error)
            await asyncio.sleep(pause)
        except Exception as error:  # noqa: BLE001  a defect of ours must not leave a job without end
            _log.exception("plan failed for a defect", job=work.job.guid)
            return f"internal error: {error!r}"
    return ""


async def _go_forward(work: Work, stages: Stages) -> None:
    """All batches of all phases. A slow host holds up nobody but the batches of its own."""
    chains = _reserve_batches(work, stages)
    results = await asyncio.gather(
        *(_follow(work, chain) for chain in chains), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            _log.error("batch failed for a defect", job=work.job.guid, exc_info=result)
            work.defect = f"internal error: {result!r}"


def _reserve_batches(work: Work, stages: Stages) -> list[list[Step[None]]]:
    """Every batch of the job, numbered in the order of the plan: per chunk its phases."""
    last = stages[-1]

    def reserve(stage: Stage, ordinals: Sequence[int], number: int) -> Step[None]:
        return work.run.reserve(
            f"{stage.phase} {number}",
            lambda: batches.carry_out(work, stage, ordinals, last=stage is last),
        )

    chunks = batches.make_batches(work.rows.values())
    return [
        [reserve(stage, chunk, number) for stage in stages] for number, chunk in enumerate(chunks)
    ]


async def _follow(work: Work, chain: list[Step[None]]) -> None:
    for batch in chain:
        if work.halted:
            return
        try:
            await batch()
        except Exception:
            work.run.halt.set()
            raise


async def _settle(work: Work) -> Verdict:
    """Decide how the job ends and which desktops are taken back, and say so in their rows."""
    cancelled = (await work.reread()).cancel_requested is not None
    rows = list(work.rows.values())
    failed = bool(work.defect) or (
        work.stops_on_error and any(row.status is VmStatus.FAILED for row in rows)
    )
    outcome = Outcome.CANCELLED if cancelled else Outcome.FAILED if failed else Outcome.COMPLETED
    lost = [row for row in rows if _is_lost(work.job, row, outcome)]
    words = "cancelled" if cancelled else "not finished: the job stopped at an error"
    stopped = [
        replace(row, status=VmStatus.CANCELLED, error=words)
        for row in lost
        if row.status not in (VmStatus.FAILED, VmStatus.CANCELLED)
    ]
    await work.write(stopped)
    undo = {row.ordinal: str(row.intended) for row in lost if row.intended}
    kept = [row.ordinal for row in work.rows.values() if row.status is VmStatus.COMPLETE]
    return {
        "outcome": str(outcome),
        "error": work.defect,
        "cancel_seen": cancelled,
        "undo": undo if work.job.action is not JobAction.DELETE else {},
        "kept": kept,
    }


def _is_lost(job: Job, row: JobDesktop, outcome: Outcome) -> bool:
    """Whether the desktop does not stay as the job made it.

    Finished ones stay, but for a cancelled Create, Update or Prep, of which nothing stays.
    """
    if row.status is not VmStatus.COMPLETE:
        return True
    return outcome is Outcome.CANCELLED and job.action is not JobAction.PATCH


async def _take_back(work: Work, stages: Stages, verdict: Verdict) -> None:
    """Undo phase by phase, the last first; within a phase all hosts at once."""
    begun = {int(ordinal): phase for ordinal, phase in verdict["undo"].items()}
    names = [str(stage.phase) for stage in stages]
    for at, stage in reversed(list(enumerate(stages))):
        concerned = [work.rows[o] for o, phase in begun.items() if names.index(phase) >= at]
        if stage.undo is not None:
            after = {
                row.ordinal: _undone_before(stages[at + 1 :], begun[row.ordinal])
                for row in concerned
            }
            await _in_steps(work, f"undo {stage.phase}", concerned, _undoing(work, stage, after))


def _undone_before(later: Stages, begun: str) -> list[Phase]:
    """Of the stages after one, up to the last that had begun, those with an undo."""
    names = [str(stage.phase) for stage in later]
    count = names.index(begun) + 1 if begun in names else 0
    return [stage.phase for stage in later[:count] if stage.undo]


def _undoing(
    work: Work, stage: Stage, after: Mapping[int, Sequence[Phase]]
) -> Callable[[Sequence[int]], Step[None]]:
    return lambda ordinals: lambda: batches.take_back(work, stage, ordinals, after)


async def _clean_up(work: Work, verdict: Verdict) -> None:
    kept = [work.rows[ordinal] for ordinal in verdict["kept"]]
    for number, act in enumerate(recipes.CLEANING.get(work.job.action, ())):
        await _in_steps(work, f"clean up {number}", kept, _cleaning(work, act))


def _cleaning(work: Work, act: Act) -> Callable[[Sequence[int]], Step[None]]:
    async def clean(ordinals: Sequence[int]) -> None:
        await batches.persist(work, act, [work.rows[ordinal] for ordinal in ordinals])

    return lambda ordinals: lambda: clean(ordinals)


async def _in_steps(
    work: Work,
    name: str,
    rows: Sequence[JobDesktop],
    body: Callable[[Sequence[int]], Step[None]],
) -> None:
    """One durable step per host and chunk, all at the same time."""
    steps = [
        work.run.reserve(f"{name} {number}", body(chunk))
        for number, chunk in enumerate(batches.make_batches(rows))
    ]
    await asyncio.gather(*(step() for step in steps))


async def _end(work: Work, verdict: Verdict) -> bool:
    """Write the end. False when a cancel came that the verdict does not know of."""
    outcome = Outcome(verdict["outcome"])
    settings = None
    if outcome is Outcome.COMPLETED:
        settings = await work.with_store(planning.settings_after, work.tools.store, work.job)
    return await work.with_store(
        work.tools.store.end_job,
        work.job.guid,
        END_STATE[work.job.action][outcome],
        verdict["error"],
        work.tools.clock(),
        cancel_seen=verdict["cancel_seen"],
        settings=settings,
    )
