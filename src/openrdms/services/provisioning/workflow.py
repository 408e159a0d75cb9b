"""One job from its plan to its end, as a durable workflow.

Whatever is read here between steps must be the same at every replay: the plan, which is written
once, and what steps returned. Everything else is looked at inside the steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from openrdms.jobs.engine import Run, Step
from openrdms.model import errors
from openrdms.model.job import END_STATE, Job, JobAction, JobDesktop, Outcome, VmStatus
from openrdms.model.reason import ReasonCode, explain_refusal, render_reason
from openrdms.services.provisioning import claims, pipeline, planning, recipes, rollout, taking
from openrdms.services.provisioning.pipeline import PAUSES, Stages
from openrdms.services.provisioning.records import with_records
from openrdms.services.provisioning.work import CANCELLED, Tools, Work, give_up

Verdict = dict[str, Any]
"""What ``settle`` decides, as plain data: outcome, error, cancel_seen, undoes."""

_STOPPED = ("not finished: the job stopped at an error", ReasonCode.STOPPED_AT_ERROR)

_PLANNING_PAUSE = 0.05
"""Seconds until it is asked again whether another service still plans."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def run_job(tools: Tools, run: Run) -> None:
    """Carry out the job called ``run.guid``, from wherever an earlier process left it."""
    job = await _patiently(lambda: with_records(tools.store.find_job, run.guid))
    if job is None or job.ended:
        return
    if tools.members.me:
        await _patiently(lambda: with_records(tools.store.adopt_job, run.guid))
    stages = recipes.stages_of(job)
    work = Work(tools, run, job)
    tools.works[job.guid] = work
    try:
        await _carry_out(work, stages)
    finally:
        del tools.works[job.guid]
        work.copies.clear()  # they know the job: its rows would stay until Python looks for cycles
        tools.waits.forget(job.guid)


async def _carry_out(work: Work, stages: Stages) -> None:
    await _patiently(work.load)
    work.defect = await work.run.step("plan", lambda: _plan(work))
    if not work.is_planned:
        await _patiently(work.load)
    await _go_forward(work, stages)
    ended = False
    while not ended:
        ended = await _finish(work, stages)
    await asyncio.to_thread(_tell_end, work)


async def _patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Read records outside a step, where the engine repeats nothing."""
    for pause in PAUSES:
        try:
            return await read()
        except errors.OperationFailed:
            await asyncio.sleep(pause)
    return await read()


async def _finish(work: Work, stages: Stages) -> bool:
    """Settle, take back, clean up, end. False when a cancel came that the end did not expect."""
    verdict = await work.run.step("settle", lambda: _settle(work, stages))
    if verdict["undoes"]:
        await work.run.step("undo", lambda: pipeline.take_back(work, _lost(work), stages))
    if cleaning := recipes.CLEANING.get(work.job.action):
        await work.run.step("clean up", lambda: pipeline.clean_up(work, _kept(work), cleaning))
    return await work.run.step("end", lambda: _end(work, verdict))


def _lost(work: Work) -> list[JobDesktop]:
    return [row for row in work.rows.values() if row.status is not VmStatus.COMPLETE]


def _kept(work: Work) -> list[JobDesktop]:
    return [row for row in work.rows.values() if row.status is VmStatus.COMPLETE]


async def _plan(work: Work) -> str:
    """Write the plan, unless there is one or the job was cancelled before. Words on failure."""
    if work.halted or work.is_planned:
        return ""
    for pause in (*PAUSES, None):
        try:
            async with work.tools.planning:
                while not await work.with_store(_plan_alone, work):  # noqa: ASYNC110  of others
                    await asyncio.sleep(_PLANNING_PAUSE)
            break
        except errors.RdmsError as error:
            if pause is None or not isinstance(error, errors.HostUnavailable):
                return render_reason(explain_refusal(error), str(error))
            await asyncio.sleep(pause)
        except Exception as error:  # noqa: BLE001  a defect of ours must not leave a job without end
            _log.exception("plan failed for a defect", job=work.job.guid)
            return render_reason(ReasonCode.DEFECT, f"internal error: {error!r}")
    return ""


def _plan_alone(work: Work) -> bool:
    """False when another service plans now: no two jobs may be given the same room."""
    with work.tools.members.exclusive("planning") as alone:
        if alone:
            planning.plan_job(work.tools, work.job)
        return alone


async def _go_forward(work: Work, stages: Stages) -> None:
    """One step, or one for each wave of an update, which all have theirs at every replay."""
    waves = sorted({row.wave for row in work.rows.values()})
    for wave in waves if work.job.action is JobAction.PATCH else [None]:
        name = "forward" if wave is None else f"wave {wave}"
        try:
            failure = await work.run.step(name, _forward(work, stages, wave))
        except Exception as error:  # noqa: BLE001  it was tried for an hour: the job must end
            _log.exception("cannot go on for a defect", job=work.job.guid)
            failure = render_reason(ReasonCode.DEFECT, f"internal error: {error!r}")
        if failure:
            work.defect = failure
            work.run.halt.set()


def _forward(work: Work, stages: Stages, wave: int | None) -> Step[str]:
    """Returns why the job cannot go on, "" when it can."""

    async def forward() -> str:
        if work.halted:
            return ""
        if wave is not None:
            return await rollout.go_forward(work, stages, wave)
        if work.job.action is JobAction.DELETE:
            await claims.claim_all(work, list(work.rows.values()))
        with work.tools.uses.in_work(row.name for row in work.rows.values()):
            await pipeline.carry_all(work, stages)
        return ""

    return forward


async def _settle(work: Work, stages: Stages) -> Verdict:
    """Decide how the job ends and which desktops are taken back, and say so in their rows."""
    cancelled = (await work.reread()).cancel_requested is not None
    rows = list(work.rows.values())
    failed = bool(work.defect) or (
        work.stops_on_error and any(row.status is VmStatus.FAILED for row in rows)
    )
    outcome = Outcome.CANCELLED if cancelled else Outcome.FAILED if failed else Outcome.COMPLETED
    if outcome is Outcome.FAILED and work.job.action is JobAction.PATCH:
        await taking.take_back(work)
    why = CANCELLED if cancelled else _STOPPED
    lost = [row for row in work.rows.values() if _is_lost(work.job, row, outcome)]
    settled = ((row, give_up(row, *why)) for row in lost)
    await work.write(after for before, after in settled if after is not before)
    return {
        "outcome": str(outcome),
        "error": work.defect,
        "cancel_seen": cancelled,
        "undoes": any(pipeline.to_undo(row, stages) for row in _lost(work)),
    }


def _is_lost(job: Job, row: JobDesktop, outcome: Outcome) -> bool:
    """Whether the desktop does not stay as the job made it.

    Finished ones stay, but for a cancelled Create, Update or Prep, of which nothing stays.
    """
    if row.status is not VmStatus.COMPLETE:
        return True
    return outcome is Outcome.CANCELLED and job.action is not JobAction.PATCH


async def _end(work: Work, verdict: Verdict) -> bool:
    """Write the end. False when a cancel came that the verdict does not know of."""
    return await with_records(_write_end, work, verdict)


def _write_end(work: Work, verdict: Verdict) -> bool:
    store = work.tools.store
    outcome = Outcome(verdict["outcome"])
    completed = outcome is Outcome.COMPLETED
    return store.end_job(
        work.job.guid,
        END_STATE[work.job.action][outcome],
        verdict["error"],
        work.tools.clock(),
        cancel_seen=verdict["cancel_seen"],
        settings=planning.settings_after(store, work.job) if completed else None,
    )


def _tell_end(work: Work) -> None:
    """What nobody must know to go on, but all want to."""
    try:
        copied = [str(work.job.options["vm"])] if work.job.action is JobAction.PREP else []
        work.tools.uses.announce([row.name for row in work.rows.values()] + copied)
        work.tools.times.save()
    except errors.RdmsError:
        _log.exception("the end of a job was not told", job=work.job.guid)
