"""Desktops on their way: each goes through its phases, and back, by itself.

The result of one phase and the intent of the next are one write, and what many desktops write at
the same moment is one transaction. What is on record before a call on a host begins is that it
may have begun; so after a kill -9 everything that may have happened is known, and is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from openrdms.jobs.halt import Halted
from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.job import JobAction, JobDesktop, VmStatus
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning import stages as acts
from openrdms.services.provisioning.lines import in_lines
from openrdms.services.provisioning.outbox import Change
from openrdms.services.provisioning.records import pause
from openrdms.services.provisioning.stages import Stage, Undo
from openrdms.services.provisioning.undoing import Undoing, Undoings
from openrdms.services.provisioning.work import CANCELLED, Work, give_up

Stages = Sequence[Stage]

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while a guest does not answer, though its agent did before."""

_OPEN = (VmStatus.PENDING, VmStatus.IN_PROGRESS)
_MAKING = (JobAction.CREATE, JobAction.UPDATE)

_log = structlog.get_logger(__name__)


async def carry_all(work: Work, stages: Stages) -> None:
    """Take all desktops through what is left to do; on each host as many at a time as its factor
    says. Once a job that makes them is cancelled each is taken back as soon as it is at rest, so
    that nobody waits for calls that have begun for others.

    Returns when all are through, have failed, were halted or taken back. What the store raises is
    raised once all that were under way have come to rest: those that could not be written may be
    carried again.
    """
    under_way: set[int] = set()
    back = _taking_back(work, stages)
    withdrawn = asyncio.ensure_future(_await_withdrawal(work))

    def take_back(rows: Iterable[JobDesktop]) -> None:
        back.add(Undoing(row, to_undo(row, stages)) for row in rows)

    async def carry_one(ordinal: int) -> None:
        under_way.add(ordinal)
        take_back(await _carry_unless_withdrawn(work, work.rows[ordinal], stages, withdrawn))
        under_way.remove(ordinal)

    async def withdraw_others() -> None:
        if await withdrawn:
            others = [row for row in work.rows.values() if row.ordinal not in under_way]
            take_back(sorted(others, key=lambda row: row.intended is None))

    others = asyncio.ensure_future(withdraw_others())
    try:
        # no list: it would keep rows as they are now until all are through
        await in_lines(work, (row for row in work.rows.values() if row.status in _OPEN), carry_one)
    finally:
        if not work.halted:
            withdrawn.cancel()
        [trouble] = await asyncio.gather(others, return_exceptions=True)
        await back.finish()
    if isinstance(trouble, Exception):
        raise trouble


async def _carry_unless_withdrawn(
    work: Work, row: JobDesktop, stages: Stages, withdrawn: asyncio.Future[bool]
) -> list[JobDesktop]:
    """The row when it is to be taken back: also when that was said while its end was written."""
    row = await _go_through(work, row, stages)
    if not await _is_withdrawn(work, withdrawn):
        row = await _keep(work, row, stages)
    return [row] if await _is_withdrawn(work, withdrawn) else []


async def _await_withdrawal(work: Work) -> bool:
    """Once the job halts: whether none of its desktops is to stay. That it is cancelled is on
    record then, and says so after a kill, too.
    """
    await work.run.halt.wait()
    if work.job.action not in _MAKING:
        return False
    return work.run.cancelled or (await work.reread()).cancel_requested is not None


async def _is_withdrawn(work: Work, answer: asyncio.Future[bool]) -> bool:
    """False also when there is no answer, for a reason that another one is told."""
    with suppress(Exception):
        return work.halted and await answer
    return False


async def carry(work: Work, row: JobDesktop, stages: Stages) -> JobDesktop:
    """One desktop through the phases that it has not done; returns its row as last written."""
    return await _keep(work, await _go_through(work, row, stages), stages)


async def _go_through(work: Work, row: JobDesktop, stages: Stages) -> JobDesktop:
    """The row as the last phase that was begun has left it; that is not on record yet."""
    phases = [stage.phase for stage in stages]
    first = phases.index(row.done) + 1 if row.done in phases else 0
    for stage in stages[first:]:
        if work.halted or row.status not in _OPEN:
            break
        if stage.of_started and not acts.starts(work, row):
            row = replace(row, done=stage.phase)
            continue
        before = row
        row = replace(row, intended=stage.phase, status=VmStatus.IN_PROGRESS)
        if row != work.rows[row.ordinal]:
            await work.write([row])
        row = await _attempt(work, stage, before)
    return row


async def _keep(work: Work, row: JobDesktop, stages: Stages) -> JobDesktop:
    if row.done == stages[-1].phase and row.status in _OPEN:
        await work.change([_finished(work, row)])
    elif row != work.rows[row.ordinal]:
        await work.write([row])
    return work.rows[row.ordinal]


async def _attempt(work: Work, stage: Stage, before: JobDesktop) -> JobDesktop:
    """The row as the phase has left it; as it was ``before`` when nothing was begun."""
    row = work.rows[before.ordinal]
    begun = before.intended == stage.phase
    pauses = iter(PAUSES)
    try:
        while not await _try(work, stage, row, pauses):
            begun = True
        return replace(row, done=stage.phase)
    except Halted as halted:
        return row if begun or halted.begun else before
    except errors.RdmsError as error:
        return _failed(work, row, str(error), acts.reason_of(error))
    except Exception as error:  # noqa: BLE001  a defect of ours must not leave a job without end
        _log.exception("desktop failed for a defect", job=work.job.guid, desktop=row.name)
        return _failed(work, row, f"internal error: {error!r}", ReasonCode.DEFECT)


async def _try(work: Work, stage: Stage, row: JobDesktop, pauses: Iterator[float]) -> bool:
    """Once; False when it may be tried again, as a host is back or a pause is over. Halted."""
    try:
        await stage.do(work, row)
    except (
        errors.RecordsUnavailable,
        errors.HostUnavailable,
        errors.GuestUnreachable,
    ) as trouble:
        try:
            await _recover(work, row, trouble, pauses)
        except Halted as halted:
            halted.begun = True
            raise
        return False
    return True


async def _recover(
    work: Work, row: JobDesktop, trouble: errors.RdmsError, pauses: Iterator[float]
) -> None:
    """Hosts and records are waited for without end, guests as long as there are ``pauses``. Raises
    Halted: nobody must wait to be cancelled for what may fail for ever.
    """
    if isinstance(trouble, errors.HostUnavailable):
        await work.host_back(row, trouble)
        return
    if isinstance(trouble, errors.RecordsUnavailable):
        await pause()
        if work.halted:
            raise Halted
        return
    seconds = next(pauses, None)
    if seconds is None:
        raise acts.PhaseFailed(str(trouble), ReasonCode.GUEST_SILENT) from trouble
    with work.waiting(row, ReasonCode.GUEST_SILENT, str(trouble), seconds):
        await work.wait(asyncio.Event(), seconds)


def _failed(work: Work, row: JobDesktop, words: str, reason: ReasonCode) -> JobDesktop:
    if work.stops_on_error:
        work.run.halt.set()
    _log.warning("desktop failed", job=work.job.guid, desktop=row.name, reason=words)
    return replace(row, status=VmStatus.FAILED, error=words, reason=reason)


def _finished(work: Work, row: JobDesktop) -> Change:
    """With the last phase the desktop's record comes or goes."""
    done = replace(row, status=VmStatus.COMPLETE)
    if work.job.action is JobAction.DELETE:
        return Change(done, dropped=True)
    if work.job.action is JobAction.PREP:
        return Change(done)
    mark = work.marks.pop(row.ordinal, "")
    return Change(done, record=acts.make_record(work, row), mark=mark)


async def take_back(work: Work, rows: Iterable[JobDesktop], stages: Stages) -> None:
    """Undo what each may have begun, its last phase first, and all of it in a row.

    What a host refuses again and again stays, and becomes a failed desktop on record: a disk must
    not go while a VM may use it.
    """
    back = _taking_back(work, stages)
    back.add(Undoing(row, to_undo(row, stages)) for row in rows if row.intended)
    await back.finish()


def _taking_back(work: Work, stages: Stages) -> Undoings:
    def conclude(undoing: Undoing) -> Change | None:
        row = undoing.row
        change = _stuck(work, row) if undoing.left else _taken_back(work, row, stages)
        change.row = undoing.tell(give_up(change.row, *CANCELLED))
        return change if change.row is not work.rows[row.ordinal] else None

    return Undoings(work, conclude)


async def clean_up(work: Work, rows: Iterable[JobDesktop], undos: Sequence[Undo]) -> None:
    """Remove what nobody needs any more of desktops that are done."""
    cleaning = Undoings(work, lambda undoing: None)
    cleaning.add(Undoing(row, [("clean up", undo) for undo in undos]) for row in rows)
    await cleaning.finish()


def to_undo(row: JobDesktop, stages: Stages) -> list[tuple[str, Undo]]:
    """What may have begun and was not taken back, the last phase first."""
    names = [stage.phase for stage in stages]
    begun = stages[: names.index(row.intended) + 1] if row.intended in names else ()
    return [
        (str(stage.phase), stage.undo)
        for stage in reversed(begun)
        if stage.undo and str(stage.phase) not in row.undone
    ]


def _taken_back(work: Work, row: JobDesktop, stages: Stages) -> Change:
    """A record that says what was undone goes, or, after a Patch, says again what it said."""
    if work.job.action is not JobAction.PATCH:
        # what could not be taken back before is on record too
        on_record = row.done == stages[-1].phase or row.status is VmStatus.FAILED
        return Change(row, dropped=on_record and work.job.action in _MAKING)
    if row.done != stages[-1].phase or row.previous is None:
        return Change(row, mark="")
    before = replace(row, generation=row.previous, image=row.previous_image)
    return Change(row, record=acts.make_record(work, before), mark="")


def _stuck(work: Work, row: JobDesktop) -> Change:
    failed = replace(row, status=VmStatus.FAILED, reason=row.reason or ReasonCode.HOST_REFUSED)
    if work.job.action not in _MAKING:
        return Change(failed)
    record = acts.make_record(work, row)
    remnant: Desktop = replace(record, collection="", status=DesktopStatus.FAILED)
    return Change(failed, record=remnant)
