"""Desktops on their way: each goes through its phases, and back, by itself.

The result of one phase and the intent of the next are one write, and what many desktops write at
the same moment is one transaction. What is on record before a call on a host begins is that it
may have begun; so after a kill -9 everything that may have happened is known, and is looked at.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import structlog

from openrdms.jobs.halt import Halted
from openrdms.jobs.tokens import Kind
from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.job import JobAction, JobDesktop, VmStatus
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning import stages as acts
from openrdms.services.provisioning.lines import in_lines
from openrdms.services.provisioning.outbox import Change
from openrdms.services.provisioning.records import pause
from openrdms.services.provisioning.stages import Stage, Undo
from openrdms.services.provisioning.work import CANCELLED, Work, give_up, with_error

Stages = Sequence[Stage]

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while a guest does not answer, though its agent did before."""

MAX_REFUSALS = 5
"""How often an undo is asked for of a host that refuses it; then the desktop has failed."""

_FIRST_PAUSE = 0.05
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
    back = work.past_halt()
    withdrawn = asyncio.ensure_future(_await_withdrawal(work))

    async def carry_one(ordinal: int) -> None:
        under_way.add(ordinal)
        await carry(work, work.rows[ordinal], stages)
        if work.halted and await withdrawn:
            await _take_one_back(back, ordinal, stages)
        under_way.remove(ordinal)

    async def withdraw_others() -> None:
        if await withdrawn:
            others = [row for row in work.rows.values() if row.ordinal not in under_way]
            await work.write(give_up(row, *CANCELLED) for row in others if not row.intended)
            await take_back(work, others, stages)

    others = asyncio.ensure_future(withdraw_others())
    try:
        await in_lines(work, [row for row in work.rows.values() if row.status in _OPEN], carry_one)
    finally:
        if not work.halted:
            withdrawn.cancel()
        [trouble] = await asyncio.gather(others, return_exceptions=True)
    if isinstance(trouble, Exception):
        raise trouble


async def _await_withdrawal(work: Work) -> bool:
    """Once the job halts: whether none of its desktops is to stay. That it is cancelled is on
    record then, and says so after a kill, too.
    """
    await work.run.halt.wait()
    return work.job.action in _MAKING and (await work.reread()).cancel_requested is not None


async def carry(work: Work, row: JobDesktop, stages: Stages) -> JobDesktop:
    """One desktop through the phases that it has not done; returns its row as last written."""
    phases = [stage.phase for stage in stages]
    first = phases.index(row.done) + 1 if row.done in phases else 0
    for stage in stages[first:]:
        if work.halted or row.status not in _OPEN:
            break
        before = row
        row = replace(row, intended=stage.phase, status=VmStatus.IN_PROGRESS)
        if row != work.rows[row.ordinal]:
            await work.write([row])
        row = await _attempt(work, stage, before)
    if row.done == phases[-1] and row.status in _OPEN:
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
    """Once; False when it may be tried again, now that a host is back or a pause is over."""
    try:
        await stage.do(work, row)
    except errors.RecordsUnavailable:
        await pause()
        return False
    except (errors.HostUnavailable, errors.GuestUnreachable) as trouble:
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
    """Hosts are waited for without end, guests as long as there are ``pauses``."""
    if isinstance(trouble, errors.HostUnavailable):
        await work.host_back(row, trouble)
        return
    pause = next(pauses, None)
    if pause is None:
        raise acts.PhaseFailed(str(trouble), ReasonCode.GUEST_SILENT) from trouble
    with work.waiting(row, ReasonCode.GUEST_SILENT, str(trouble)):
        await work.wait(asyncio.Event(), pause)


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

    Hosts that are away are waited for. What a host refuses again and again stays, and becomes a
    failed desktop on record: a disk must not go while a VM may use it.
    """
    work = work.past_halt()
    begun = [row for row in rows if row.intended]
    await in_lines(work, begun, lambda ordinal: _take_one_back(work, ordinal, stages))


async def _take_one_back(work: Work, ordinal: int, stages: Stages) -> None:
    row = work.rows[ordinal]
    undoing = _Undoing(work, row, to_undo(row, stages))
    if not undoing.left:
        return
    if await _persist(undoing):
        change = _taken_back(work, work.rows[ordinal], stages)
    else:
        change = _stuck(work, work.rows[ordinal])
    change.row = undoing.tell(give_up(change.row, *CANCELLED))
    await work.change([change])


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


class _Undoing:
    """What is still to be undone of one desktop, what was, and what is to be said of it."""

    def __init__(self, work: Work, row: JobDesktop, undos: Iterable[tuple[str, Undo]]) -> None:
        self.work = work
        self.row = row
        self.left = deque(undos)
        self.undone: list[str] = []
        self.said: list[str] = []

    def go_on(self) -> None:
        """All of it, in a row, in this thread."""
        while self.left:
            name, undo = self.left[0]
            self.said.append(undo(self.work, self.row))
            self.undone.append(name)
            self.left.popleft()

    def tell(self, row: JobDesktop) -> JobDesktop:
        """The row with what has come of it."""
        for words in filter(None, self.said):
            row = with_error(row, words)
        return replace(row, undone=(*row.undone, *self.undone))


def to_undo(row: JobDesktop, stages: Stages) -> list[tuple[str, Undo]]:
    """What may have begun and was not taken back, the last phase first."""
    names = [stage.phase for stage in stages]
    begun = stages[: names.index(row.intended) + 1] if row.intended in names else ()
    return [
        (str(stage.phase), stage.undo)
        for stage in reversed(begun)
        if stage.undo and str(stage.phase) not in row.undone
    ]


def _stuck(work: Work, row: JobDesktop) -> Change:
    failed = replace(row, status=VmStatus.FAILED, reason=row.reason or ReasonCode.HOST_REFUSED)
    if work.job.action not in _MAKING:
        return Change(failed)
    record = acts.make_record(work, row)
    remnant: Desktop = replace(record, collection="", status=DesktopStatus.FAILED)
    return Change(failed, record=remnant)


async def clean_up(work: Work, rows: Iterable[JobDesktop], undos: Sequence[Undo]) -> None:
    """Remove what nobody needs any more of desktops that are done."""
    work = work.past_halt()

    async def clean(ordinal: int) -> None:
        row = work.rows[ordinal]
        await _persist(_Undoing(work, row, (("clean up", undo) for undo in undos)))

    if undos:
        await in_lines(work, rows, clean)


async def _persist(undoing: _Undoing) -> bool:
    """Do it with patience; False when it is refused. What was in the way is in the row's error."""
    work, row = undoing.work, undoing.row
    refusals = 0
    while True:
        try:
            await work.on_host(row, Kind.STOP, undoing.go_on)
            return True
        except errors.RecordsUnavailable:
            await pause()
        except errors.HostUnavailable as error:
            await _tell(work, row, error)
            await _await_host(work, row, error)
        except Exception as error:  # noqa: BLE001  undo meets everything that can go wrong
            refusals += 1
            await _tell(work, row, error)
            if refusals == MAX_REFUSALS:
                return False
            await asyncio.sleep(_FIRST_PAUSE * 2**refusals)


async def _await_host(work: Work, row: JobDesktop, error: errors.HostUnavailable) -> None:
    try:
        await work.host_back(row, error)
    except errors.NotFound:
        return  # it was given up: the next attempt is refused


async def _tell(work: Work, row: JobDesktop, error: Exception) -> None:
    words = str(error) or repr(error)
    _log.warning(
        "cannot take back or clean up yet", job=work.job.guid, desktop=row.name, reason=words
    )
    await work.note(row, words)
