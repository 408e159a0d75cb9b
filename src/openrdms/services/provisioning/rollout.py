"""One wave of an update: each desktop when nobody has it, all of them from ForceLogOffTime on.

What waits has nothing on record but its plan, and nothing was done to it: a desktop is claimed at
the moment at which it is free, and from then on goes through its phases without waiting for
anybody. What is done is handed out when nothing of the wave is under way and all of it is good,
so that a wave that waits for its last user does not keep the others from theirs.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime

import structlog

from openrdms import ports
from openrdms.jobs.halt import Halted
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import GuestSession, VmInfo, VmState
from openrdms.model.job import JobDesktop, VmStatus
from openrdms.model.patch import force_time
from openrdms.model.provisioning import parse_job
from openrdms.model.reason import ReasonCode, Wait, render_reason
from openrdms.model.rollout import Rank, allowed, is_forced, rank
from openrdms.services.provisioning import claims, gate, pipeline, stages
from openrdms.services.provisioning.pipeline import Stages
from openrdms.services.provisioning.work import Work

_FREE = frozenset({Use.UNREADY, Use.READY, Use.QUARANTINED})
_IN_USE = (VmState.RUNNING, VmState.PAUSED)
_OPEN = (VmStatus.PENDING, VmStatus.IN_PROGRESS)

_ASK_SECONDS = 2.0
"""What a guest gets to say who is logged on."""

_LOG_OFF_SECONDS = 20.0
"""What a session gets to end at ForceLogOffTime, before its desktop is stopped under it."""

_log = structlog.get_logger(__name__)


async def go_forward(work: Work, stages: Stages, wave: int) -> str:
    """Carry the desktops of one wave forward; returns when they are done, or the job is halted.

    Returns why the wave has failed as a whole, "" if it has not. What the store raises is raised
    once all that was under way has come to rest.
    """
    return await _Wave(work, stages, wave).run()


class _Free:
    """Desktops that may be taken, by host, those first whose update disturbs least."""

    def __init__(self) -> None:
        self._hosts: dict[str, list[tuple[Rank, int]]] = {}

    def push(self, row: JobDesktop, use: DesktopUse | None) -> None:
        place = (rank(use.use if use else None, runs=row.was_running), row.ordinal)
        heapq.heappush(self._hosts.setdefault(row.host, []), place)

    def pop(self, has_room: Callable[[str], bool]) -> int | None:
        """The next one on a host that has room."""
        heads = [(heap[0], host) for host, heap in self._hosts.items() if heap and has_room(host)]
        return heapq.heappop(self._hosts[min(heads)[1]])[1] if heads else None


class _Wave:
    """Lives on the job's event loop; only what hears of uses is called from other threads."""

    def __init__(self, work: Work, stages: Stages, wave: int) -> None:
        self._work = work
        self._stages = stages
        self._wave = wave
        self._force = force_time(work.job)
        self._max_unavailable = parse_job(work.job.document).max_unavailable
        self._rows = {row.ordinal for row in work.rows.values() if row.wave == wave}
        self._ordinals = {work.rows[o].name.casefold(): o for o in self._rows}
        self._uses: dict[int, DesktopUse] = {}
        self._waiting: set[int] = set()
        self._occupied: set[int] = set()
        """Of those that wait: somebody is logged on though the use says nobody, or none can say."""
        self._free = _Free()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._finished: list[int] = []
        """Done and still in WORK."""
        self._forced = False
        self._tried = False
        self._failure = ""
        self._trouble: BaseException | None = None
        self._changed = asyncio.Event()
        self._since = work.tools.clock()

    async def run(self) -> str:
        """See ``go_forward``."""
        tools = self._work.tools
        with self._listening(), tools.waits.line(self._work.job.guid, self._tell):
            try:
                await self._begin()
                await self._go_on()
                self._judge()
            except Halted:
                pass
            finally:
                await asyncio.gather(*self._running.values(), return_exceptions=True)
        if self._trouble:
            raise self._trouble
        return self._failure

    async def _go_on(self) -> None:
        while not self._trouble and (self._waiting or self._running or self._finished):
            self._changed.clear()
            self._look_at_clock()
            self._take_some()
            if self._finished and not self._running:
                await self._hand_out()
            else:
                await self._work.wait(self._changed, self._seconds_to_force())

    @contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def tell(use: DesktopUse) -> None:
            if use.name.casefold() in self._ordinals:
                loop.call_soon_threadsafe(self._hear, use)

        end = self._work.tools.uses.subscribe(tell)
        try:
            yield
        finally:
            end()

    def _hear(self, use: DesktopUse) -> None:
        ordinal = self._ordinals[use.name.casefold()]
        self._uses[ordinal] = use
        self._occupied.discard(ordinal)
        if ordinal in self._waiting:
            self._offer(ordinal)
        self._changed.set()

    async def _begin(self) -> None:
        """Sort the rows by what records say; go on with what an earlier process had in hand."""
        work = self._work
        names = [work.rows[ordinal].name for ordinal in self._rows]
        uses = await asyncio.to_thread(_list_uses, work, names)
        self._uses = {self._ordinals[use.name.casefold()]: use for use in uses}
        for ordinal in sorted(self._rows):
            row = work.rows[ordinal]
            if row.status is VmStatus.COMPLETE and self._is_ours(ordinal):
                self._finished.append(ordinal)
            elif row.status in _OPEN and (row.intended or self._is_ours(ordinal)):
                self._start(ordinal)
            elif row.status in _OPEN:
                self._waiting.add(ordinal)
                self._offer(ordinal)

    def _is_ours(self, ordinal: int) -> bool:
        use = self._uses.get(ordinal)
        return use is not None and use.use is Use.WORK and use.claim == self._work.job.guid

    def _offer(self, ordinal: int) -> None:
        """Let it be taken, if it may be now."""
        use = self._uses.get(ordinal)
        if self._forced or use is None or use.use in _FREE:
            self._free.push(self._work.rows[ordinal], use)

    def _look_at_clock(self) -> None:
        if not self._forced and is_forced(self._force, self._work.tools.clock()):
            self._forced = True
            self._occupied.clear()
            for ordinal in self._waiting:
                self._offer(ordinal)

    def _seconds_to_force(self) -> float | None:
        if self._forced or self._force is None:
            return None
        return max(0.0, (self._force - self._work.tools.clock()).total_seconds())

    def _take_some(self) -> None:
        """Begin with as many as may be in work at a time, over all and on each host."""
        work = self._work
        most = allowed(self._max_unavailable, len(work.rows), forced=self._forced)
        under_way = Counter(work.rows[ordinal].host for ordinal in self._running)

        def has_room(host: str) -> bool:
            return under_way[host] < work.tools.factor(host)

        while len(self._running) + len(self._finished) < most:
            ordinal = self._free.pop(has_room)
            if ordinal is None:
                return
            if ordinal in self._waiting and ordinal not in self._occupied:
                self._waiting.remove(ordinal)
                self._start(ordinal)
                under_way[work.rows[ordinal].host] += 1

    def _start(self, ordinal: int) -> None:
        def end(task: asyncio.Task[None]) -> None:
            del self._running[ordinal]
            if not task.cancelled() and (error := task.exception()):
                self._trouble = error
            self._changed.set()

        self._running[ordinal] = asyncio.create_task(self._update(ordinal))
        self._running[ordinal].add_done_callback(end)

    async def _update(self, ordinal: int) -> None:
        """One desktop, from the moment at which it seems free; back in line when it is not."""
        row = self._work.rows[ordinal]
        use = self._uses.get(ordinal)
        try:
            taken = row if row.intended else await self._take(row, use)
        except Halted:
            return
        if taken is None:
            self._put_back(ordinal, use)
            return
        row = await pipeline.carry(self._work, taken, self._stages)
        if row.status is VmStatus.COMPLETE:
            self._finished.append(ordinal)

    def _put_back(self, ordinal: int, use: DesktopUse | None) -> None:
        """``use`` is what it was when it seemed free."""
        self._waiting.add(ordinal)
        if self._forced or self._uses.get(ordinal) is not use:
            self._offer(ordinal)
        else:
            self._occupied.add(ordinal)

    async def _take(self, row: JobDesktop, use: DesktopUse | None) -> JobDesktop | None:
        """Have it in WORK, and see whether it runs. None when somebody has it."""
        while True:
            try:
                return await self._claim(row, use)
            except errors.HostUnavailable as error:
                trouble = error
            except errors.NotFound:
                return row  # its host was given up, as its first phase will say
            with suppress(errors.NotFound):
                await self._work.host_back(row, trouble)

    async def _claim(self, row: JobDesktop, use: DesktopUse | None) -> JobDesktop | None:
        work = self._work
        if self._is_ours(row.ordinal):
            vm = await self._find_vm(row)
        elif self._forced:
            await claims.seize(work, row)
            vm = await self._find_vm(row)
        else:
            vm = await self._find_vm(row)
            if _runs(vm) and not await self._is_empty(row, use):
                return None
            if use and not await asyncio.to_thread(_claim_unchanged, work, use):
                return None
        if self._forced and _runs(vm):
            await self._log_off(row, use)
        return replace(row, was_running=_runs(vm))

    async def _find_vm(self, row: JobDesktop) -> VmInfo | None:
        return await self._work.in_guest(row, self._work.host(row).find_vm, row.name)

    async def _is_empty(self, row: JobDesktop, use: DesktopUse | None) -> bool:
        """Whether nobody is logged on; False when the guest does not say."""
        guest = self._work.host(row).guest(row.name)
        try:
            sessions = await self._work.in_guest(row, guest.list_sessions, _ASK_SECONDS)
        except errors.VmNotRunning:
            return not _runs(await self._find_vm(row))
        except errors.GuestUnreachable:
            return False
        if sessions and use:
            await asyncio.to_thread(_note_session, self._work, use, sessions[0])
        return not sessions

    async def _log_off(self, row: JobDesktop, use: DesktopUse | None) -> None:
        """End its sessions in order; what does not end in time ends with its disk."""
        host = self._work.host(row)
        if host.tells_sessions and (use is None or use.use is not Use.TAKEN):
            return
        try:
            await self._work.in_guest(row, _end_sessions, host.guest(row.name))
        except errors.HostUnavailable:
            raise
        except errors.RdmsError as error:
            _log.warning("sessions not logged off", desktop=row.name, reason=str(error))

    async def _hand_out(self) -> None:
        """Let go of what is done; of desktops that are all left off, once one was tried."""
        work = self._work
        rows = [work.rows[ordinal] for ordinal in self._finished]
        if not self._is_tried() and not await self._try(rows[0]):
            return
        self._finished.clear()
        await asyncio.to_thread(_release, work, [row.name for row in rows])

    def _is_tried(self) -> bool:
        done = (self._work.rows[ordinal] for ordinal in self._rows)
        return self._tried or any(
            row.was_running for row in done if row.status is VmStatus.COMPLETE
        )

    async def _try(self, row: JobDesktop) -> bool:
        """Whether it boots. If not the wave has failed."""
        work = self._work
        while True:
            try:
                await gate.try_image(work, row)
            except errors.HostUnavailable as error:
                await work.host_back(row, error)
            except errors.RdmsError as error:
                failed = replace(work.rows[row.ordinal], status=VmStatus.FAILED, error=str(error))
                await work.write([replace(failed, reason=stages.reason_of(error))])
                self._fail(f"{row.name}: {error}")
                return False
            else:
                self._tried = True
                return True

    def _judge(self) -> None:
        """A wave fails with its first desktop; of a job that goes on at errors, with its last."""
        ended = [self._work.rows[ordinal].status for ordinal in self._rows]
        if VmStatus.FAILED in ended and VmStatus.COMPLETE not in ended:
            self._fail("none of its desktops came out well")

    def _fail(self, words: str) -> None:
        words = f"wave {self._wave + 1}: {words}"
        self._failure = render_reason(ReasonCode.WAVE_FAILED, words)
        self._work.run.halt.set()

    def _tell(self) -> list[tuple[int, Wait]]:
        """What those that nothing is done to wait for; asked from other threads."""
        rows = self._work.rows
        waiting = sorted(self._waiting.copy())
        told = [
            (ordinal, self._explain(ordinal, position))
            for position, ordinal in enumerate(waiting, 1)
        ]
        words = f"waits until wave {self._wave + 1} is done and good"
        later = Wait(ReasonCode.EARLIER_WAVE, words, self._since)
        told += [(row.ordinal, later) for row in list(rows.values()) if row.wave > self._wave]
        return told

    def _explain(self, ordinal: int, position: int) -> Wait:
        use = self._uses.get(ordinal)
        if use and use.use is Use.TAKEN:
            words = f"{use.holder} has it until he logs off"
            return self._waits_for_user(words, use.since)
        if ordinal in self._occupied:
            return self._waits_for_user("nobody can say whether a user is logged on", self._since)
        if use and use.use is Use.PREPARING:
            words = "its pool prepares it"
            return Wait(ReasonCode.DESKTOP_IN_WORK, words, use.since)
        words = "as many desktops as may be are being updated"
        return Wait(ReasonCode.TOO_MANY_UNAVAILABLE, words, self._since, position)

    def _waits_for_user(self, words: str, since: datetime) -> Wait:
        seconds = self._seconds_to_force()
        if self._force and seconds is not None:
            words = f"{words}, or until {self._force:%Y-%m-%d %H:%M} UTC"
        return Wait(ReasonCode.USER_LOGGED_ON, words, since, seconds=seconds)


def _runs(vm: VmInfo | None) -> bool:
    """A paused one was in use; of a saved one only its memory remains, which goes with its disk."""
    return vm is not None and vm.state in _IN_USE


def _list_uses(work: Work, names: Sequence[str]) -> list[DesktopUse]:
    return work.tools.store.list_uses(names=names)


def _claim_unchanged(work: Work, use: DesktopUse) -> bool:
    """Bring it into WORK, if it is still what was looked at."""
    values = {"use": Use.WORK, "claim": work.job.guid, "since": work.tools.clock(), "mark": ""}

    def change(before: DesktopUse) -> DesktopUse | None:
        same = before == use and before.claim in ("", work.job.guid)
        return replace(before, **values) if same else None  # type: ignore[arg-type]  # fields of a use

    return bool(work.tools.uses.change([use.name], change))


def _note_session(work: Work, use: DesktopUse, session: GuestSession) -> None:
    """Somebody is logged on who was not given the desktop: it is his now."""
    now = work.tools.clock()

    def change(before: DesktopUse) -> DesktopUse | None:
        if before != use or before.use is Use.QUARANTINED:
            return None
        return replace(
            before,
            use=Use.TAKEN,
            since=now,
            holder=f"{session.domain}\\{session.user}",
            asked=False,
            seen=True,
            turn=before.turn + 1,
        )

    work.tools.uses.change([use.name], change)


def _end_sessions(guest: ports.Guest) -> None:
    for session in guest.list_sessions(_ASK_SECONDS):
        try:
            guest.log_off(session, _LOG_OFF_SECONDS)
        except errors.SessionError as error:
            _log.warning("a session was not logged off", user=session.user, reason=str(error))


def _release(work: Work, names: Sequence[str]) -> None:
    tools = work.tools
    tools.store.release_uses(work.job.guid, tools.clock(), names)
    tools.uses.announce(names)


async def take_back(work: Work) -> None:
    """After an update has failed: have what is finished undone, too, as far as nobody has it.

    It is in WORK then, and its row says so. What somebody has keeps the new image until it is
    prepared next.
    """
    done = {
        row.name.casefold(): row for row in work.rows.values() if row.status is VmStatus.COMPLETE
    }
    uses = await asyncio.to_thread(_claim_finished, work, done)
    ours = {
        use.name.casefold() for use in uses if use.use is Use.WORK and use.claim == work.job.guid
    }
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


_STAYS = "in use: goes back to the image it had once its user has logged off"


def _also(notes: str, words: str) -> str:
    return notes if words in notes else "; ".join(filter(None, (notes, words)))


def _claim_finished(work: Work, rows: Mapping[str, JobDesktop]) -> list[DesktopUse]:
    """What a pool has made anew under another generation meanwhile is not the job's any more."""
    tools, names = work.tools, [row.name for row in rows.values()]
    made = {
        (desktop.name.casefold(), desktop.generation)
        for desktop in tools.store.list_desktops(home=work.job.collection)
    }
    mine = [row.name for key, row in rows.items() if (key, row.generation) in made]
    tools.uses.move(mine, Use.WORK, of=_FREE, claim=work.job.guid, mark="")
    return tools.store.list_uses(names=names)
