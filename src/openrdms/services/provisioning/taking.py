"""Desktops that an update is about to change: when nobody has them, or at ForceLogOffTime.

Who has a desktop is what its use says. Guests that run are asked besides, once: whoever is logged
on without having been given the desktop keeps it, and a guest that does not answer may have a user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import LIVE, GuestSession, VmInfo
from openrdms.model.job import JobDesktop, VmStatus
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning import claims
from openrdms.services.provisioning.records import pause, with_records
from openrdms.services.provisioning.work import Work

FREE = frozenset({Use.UNREADY, Use.READY, Use.QUARANTINED})
"""What may be taken from nobody. What a pool prepares is taken when it has done so."""

ASK_SECONDS = 2.0
"""What a guest gets to say who is logged on."""

LOG_OFF_SECONDS = 20.0
"""What a session gets to end at ForceLogOffTime, before its desktop is stopped under it."""

_STAYS = "in use: goes back to the image it had once its user has logged off"

_log = structlog.get_logger(__name__)


def is_ours(work: Work, use: DesktopUse | None) -> bool:
    """Whether the job has the desktop in WORK."""
    return use is not None and use.use is Use.WORK and use.claim == work.job.guid


async def take(
    work: Work, row: JobDesktop, use: DesktopUse | None, *, forced: bool
) -> JobDesktop | None:
    """Have the desktop in WORK, and see whether it runs: its row, with that decided.

    ``use`` is what it was when it seemed free; ``forced`` takes it from whoever has it. None when
    somebody has it, or may have. A host that is away is waited for, and so are records: who began
    anew would see our WORK where ``use`` tells of its user. Raises Halted.
    """
    while True:
        try:
            return await _take(work, row, use, forced=forced)
        except errors.RecordsUnavailable:
            await pause()
            continue
        except errors.HostUnavailable as error:
            trouble = error
        except errors.NotFound:
            return row  # its host was given up, as its first phase will say
        with suppress(errors.NotFound):
            await work.host_back(row, trouble)


async def _take(
    work: Work, row: JobDesktop, use: DesktopUse | None, *, forced: bool
) -> JobDesktop | None:
    if not forced and not is_ours(work, use):
        vm = await _find_vm(work, row)
        if _runs(vm) and not await _is_empty(work, row, use):
            return None
        if use and not await with_records(_claim_unchanged, work, [use]):
            return None
        return replace(row, was_running=_runs(vm))
    await claims.seize(work, row)
    vm = await _find_vm(work, row)
    if forced and _runs(vm):
        await _log_off(work, row, use)
    return replace(row, was_running=_runs(vm))


async def _find_vm(work: Work, row: JobDesktop) -> VmInfo | None:
    return await work.in_guest(row, work.host(row).find_vm, row.name)


async def _is_empty(work: Work, row: JobDesktop, use: DesktopUse | None) -> bool:
    """Whether nobody is logged on; False when the guest does not say."""
    guest = work.host(row).guest(row.name)
    try:
        sessions = await work.in_guest(row, guest.list_sessions, ASK_SECONDS)
    except errors.VmNotRunning:
        return not _runs(await _find_vm(work, row))
    except errors.GuestUnreachable:
        return False
    if sessions and use:
        await with_records(_note_session, work, use, sessions[0])
    return not sessions


async def _log_off(work: Work, row: JobDesktop, use: DesktopUse | None) -> None:
    """End its sessions in order; what does not end in time ends with its disk."""
    host = work.host(row)
    if host.tells_sessions and (use is None or use.use is not Use.TAKEN):
        return
    try:
        await work.in_guest(row, _end_sessions, host.guest(row.name))
    except (errors.HostUnavailable, errors.RecordsUnavailable):
        raise
    except errors.RdmsError as error:
        _log.warning("sessions not logged off", desktop=row.name, reason=str(error))


def _runs(vm: VmInfo | None) -> bool:
    return vm is not None and vm.state in LIVE


def _claim_unchanged(work: Work, looked_at: Iterable[DesktopUse]) -> list[DesktopUse]:
    """Bring into WORK what is still as it was when it was looked at; returns it as it is then.

    What its record says may have changed: that tells nobody, and nobody has got it by that.
    """
    uses = {use.name.casefold(): use for use in looked_at}
    values = {"use": Use.WORK, "claim": work.job.guid, "since": work.tools.clock(), "mark": ""}

    def change(before: DesktopUse) -> DesktopUse | None:
        same = _state(before) == _state(uses[before.name.casefold()])
        free = same and before.claim in ("", work.job.guid)
        return replace(before, **values) if free else None  # type: ignore[arg-type]  # fields of a use

    return work.tools.uses.change(uses, change)


def _state(use: DesktopUse) -> tuple[object, ...]:
    return use.uuid, use.use, use.since, use.turn, use.seen


def _note_session(work: Work, use: DesktopUse, session: GuestSession) -> None:
    """Somebody is logged on who was not given the desktop: it is his now."""
    now = work.tools.clock()

    def change(before: DesktopUse) -> DesktopUse | None:
        if _state(before) != _state(use) or before.use is Use.QUARANTINED:
            return None
        return replace(
            before,
            use=Use.TAKEN,
            since=now,
            holder=session.account,
            asked=False,
            seen=True,
            turn=before.turn + 1,
        )

    work.tools.uses.change([use.name], change)


def _end_sessions(guest: ports.Guest) -> None:
    for session in guest.list_sessions(ASK_SECONDS):
        try:
            guest.log_off(session, LOG_OFF_SECONDS)
        except errors.SessionError as error:
            _log.warning("a session was not logged off", user=session.user, reason=str(error))


async def take_back(work: Work) -> None:
    """After an update has failed: have what is finished undone, too, as far as nobody has it.

    It is in WORK then, and its row says so. What somebody has, or may have, keeps the new image
    until it is prepared next.
    """
    work = work.past_halt()
    done = {
        row.name.casefold(): row for row in work.rows.values() if row.status is VmStatus.COMPLETE
    }
    uses = await with_records(_list_finished, work, done)
    looks = await asyncio.gather(*(_is_left(work, done[key], use) for key, use in uses.items()))
    left = [use for use, is_left in zip(uses.values(), looks, strict=True) if is_left]
    claimed = await with_records(_claim_unchanged, work, left)
    ours = {use.name.casefold() for use in (*uses.values(), *claimed) if is_ours(work, use)}
    kept = [row for key, row in done.items() if key not in ours]
    await work.write(replace(row, notes=_also(row.notes, _STAYS)) for row in kept)
    await work.write(
        replace(
            done[key],
            status=VmStatus.CANCELLED,
            error="taken back: the update has failed",
            reason=ReasonCode.WAVE_FAILED,
        )
        for key in ours
    )


def _also(notes: str, words: str) -> str:
    return notes if words in notes else "; ".join(filter(None, (notes, words)))


def _list_finished(work: Work, rows: Mapping[str, JobDesktop]) -> dict[str, DesktopUse]:
    """By case-folded name. What a pool has made anew under another generation meanwhile is not the
    job's any more.
    """
    store = work.tools.store
    made = {
        (desktop.name.casefold(), desktop.generation)
        for desktop in store.list_desktops(home=work.job.collection)
    }
    uses = {use.name.casefold(): use for use in store.list_uses(names=[*rows])}
    return {
        key: use
        for key, use in uses.items()
        if (key, rows[key].generation) in made or is_ours(work, use)
    }


async def _is_left(work: Work, row: JobDesktop, use: DesktopUse) -> bool:
    """Whether nobody has it, nor is on it; False too when neither its host nor its guest says."""
    if use.use not in FREE:
        return False
    try:
        return not _runs(await _find_vm(work, row)) or await _is_empty(work, row, use)
    except (errors.HostUnavailable, errors.NotFound):
        return False
