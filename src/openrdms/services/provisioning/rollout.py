"""One wave of an update: each desktop when nobody has it, all of them from ForceLogOffTime on.

What waits has nothing on record but its plan, and nothing was done to it: a desktop is claimed at
the moment at which it is free, and from then on goes through its phases without waiting for
anybody. What is done is handed out when nothing of the wave is under way and all of it is good,
so that a wave that waits for its last user does not keep the others from theirs.

Hosts that are away stop no update. Their desktops can be had by nobody and count as unavailable,
but one other is always in work; and a wave of which the rest came out well lets the next one begin
beside what waits for its host.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime

from openrdms.jobs.halt import Halted
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.job import JobDesktop, VmStatus
from openrdms.model.patch import NEVER, force_time
from openrdms.model.provisioning import parse_job
from openrdms.model.reason import ReasonCode, Wait, render_reason
from openrdms.model.rollout import Rank, allowed, is_forced, rank
from openrdms.services.host_health import Absence
from openrdms.services.provisioning import gate, pipeline, stages, taking
from openrdms.services.provisioning.lines import error_of
from openrdms.services.provisioning.pipeline import Stages
from openrdms.services.provisioning.records import pause, with_records
from openrdms.services.provisioning.wave_waits import WaveNow, tell_wave
from openrdms.services.provisioning.work import Work

_OPEN = (VmStatus.PENDING, VmStatus.IN_PROGRESS)
_ASK_AGAIN_SECONDS = 10.0
"""After which a guest is asked once more that did not say that nobody is logged on."""


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

    def pop(self, has_room: Callable[[int], bool]) -> int | None:
        """The next one whose host has room for it."""
        heads = [
            (heap[0], host) for host, heap in self._hosts.items() if heap and has_room(heap[0][1])
        ]
        return heapq.heappop(self._hosts[min(heads)[1]])[1] if heads else None


class _Wave:
    """Lives on the job's event loop; only what hears of uses is called from other threads."""

    def __init__(self, work: Work, stages: Stages, wave: int) -> None:
        self._work = work
        self._stages = stages
        self._wave = wave
        """The last one that has begun: others before it have desktops left on hosts away."""
        self._waves: dict[int, list[int]] = {}
        """Ordinals by wave, of this and all later ones."""
        for row in sorted(work.rows.values(), key=lambda row: row.ordinal):
            if row.wave >= wave:
                self._waves.setdefault(row.wave, []).append(row.ordinal)
        self._force = force_time(work.job)
        self._max_unavailable = parse_job(work.job.document).max_unavailable
        later = [ordinal for wave in self._waves.values() for ordinal in wave]
        self._ordinals = {work.rows[ordinal].name.casefold(): ordinal for ordinal in later}
        self._hosted = Counter(row.host for row in work.rows.values())
        self._uses: dict[int, DesktopUse] = {}
        self._waiting: set[int] = set()
        self._occupied: set[int] = set()
        """Of those that wait: somebody is logged on though the use says nobody, or none can say.
        They are asked again, at ``_ask_at`` on the monotonic clock.
        """
        self._ask_at = 0.0
        self._away: dict[str, Absence | None] = {}
        """Hosts that were heard to go, None for those that are back."""
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
            if self._finished and not self._is_under_way():
                await self._hand_out()
            elif self._may_go_on_to_next():
                self._begin_wave(self._wave + 1)
            else:
                await self._work.wait(self._changed, self._seconds_to_look())

    @contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def tell(use: DesktopUse) -> None:
            if use.name.casefold() in self._ordinals:
                loop.call_soon_threadsafe(self._hear, use)

        def tell_of_host(host: str, absence: Absence | None) -> None:
            loop.call_soon_threadsafe(self._hear_of_host, host, absence)

        tools = self._work.tools
        with ExitStack() as ends:
            ends.callback(tools.uses.subscribe(tell, self._ordinals.__contains__))
            ends.callback(tools.health.subscribe(tell_of_host))
            yield

    def _hear_of_host(self, host: str, absence: Absence | None) -> None:
        self._away[host] = absence
        self._changed.set()

    def _absence(self, ordinal: int) -> Absence | None:
        """Of a row's host."""
        return self._absence_of(self._work.rows[ordinal].host)

    def _absence_of(self, name: str) -> Absence | None:
        """One that was given up is none to wait for."""
        host = self._work.tools.hosts.find(name)
        return self._away.get(host.name) if host else None

    def _list_away(self) -> list[str]:
        """Hosts of the job's desktops."""
        return [host for host in self._hosted if self._absence_of(host)]

    def _may_go_on_to_next(self) -> bool:
        """Whether nothing but hosts is waited for, and what else there was has come out well."""
        is_open = itertools.chain(self._running, self._waiting)
        is_last = self._wave + 1 not in self._waves
        if is_last or self._finished or not all(map(self._absence, is_open)):
            return False
        rows = (self._work.rows[ordinal] for ordinal in self._waves[self._wave])
        return any(row.status is VmStatus.COMPLETE for row in rows)

    def _is_under_way(self) -> bool:
        """Whether anything is that does not wait for its host; nor can what is done be tried."""
        going_on = any(self._absence(ordinal) is None for ordinal in self._running)
        return going_on or (not self._is_tried() and self._find_to_try() is None)

    def _hear(self, use: DesktopUse) -> None:
        ordinal = self._ordinals[use.name.casefold()]
        self._uses[ordinal] = use
        self._occupied.discard(ordinal)
        if ordinal in self._waiting:
            self._offer(ordinal)
        self._changed.set()

    async def _begin(self) -> None:
        """Read who has what; go on with the waves that an earlier process had in hand."""
        uses = await with_records(_list_uses, self._work, list(self._ordinals))
        self._uses = {self._ordinals[use.name.casefold()]: use for use in uses}
        last = max(wave for wave in self._waves if wave == self._wave or self._has_begun(wave))
        for wave in range(self._wave, last + 1):
            self._begin_wave(wave)

    def _has_begun(self, wave: int) -> bool:
        rows = self._work.rows
        return any(rows[o].intended or self._is_ours(o) for o in self._waves[wave])

    def _begin_wave(self, wave: int) -> None:
        """Sort its rows by what records say."""
        self._wave = wave
        self._tried = False
        for ordinal in self._waves[wave]:
            row = self._work.rows[ordinal]
            if row.status is VmStatus.COMPLETE and self._is_ours(ordinal):
                self._finished.append(ordinal)
            elif row.status in _OPEN and (row.intended or self._is_ours(ordinal)):
                self._start(ordinal)
            elif row.status in _OPEN:
                self._waiting.add(ordinal)
                self._offer(ordinal)

    def _is_ours(self, ordinal: int) -> bool:
        return taking.is_ours(self._work, self._uses.get(ordinal))

    def _offer(self, ordinal: int) -> None:
        """Let it be taken, if it may be now."""
        if self._is_free(ordinal):
            self._free.push(self._work.rows[ordinal], self._uses.get(ordinal))

    def _is_free(self, ordinal: int) -> bool:
        use = self._uses.get(ordinal)
        return self._forced or use is None or use.use in taking.FREE

    def _look_at_clock(self) -> None:
        if not self._forced and is_forced(self._force, self._work.tools.clock()):
            self._forced = True
            self._occupied.clear()
            for ordinal in self._waiting:
                self._offer(ordinal)
        if self._occupied and time.monotonic() >= self._ask_at:
            asked, self._occupied = self._occupied, set()
            for ordinal in asked:
                self._offer(ordinal)

    def _seconds_to_look(self) -> float | None:
        """Until the clock has something to say though nothing changes; None for never."""
        ask = max(0.0, self._ask_at - time.monotonic()) if self._occupied else None
        waits = (ask, self._seconds_to_force())
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def _seconds_to_force(self) -> float | None:
        if self._forced or self._force is None:
            return None
        return max(0.0, (self._force - self._work.tools.clock()).total_seconds())

    def _take_some(self) -> None:
        """Begin with as many as may be unavailable at a time, and as many as each host may work
        on; with one in any case, for how long a host is away nobody knows.
        """
        work = self._work
        most = self._most()
        in_hand = (*self._running, *self._finished)
        in_work = sum(1 for ordinal in in_hand if self._absence(ordinal) is None)
        under_way = Counter(work.rows[ordinal].host for ordinal in self._running)

        def has_room(ordinal: int) -> bool:
            host = work.rows[ordinal].host
            return under_way[host] < work.tools.factor(host) and self._absence(ordinal) is None

        while in_work < most:
            ordinal = self._free.pop(has_room)
            if ordinal is None:
                return
            takes = ordinal in self._waiting and ordinal not in self._occupied
            if takes and self._is_free(ordinal):  # it was when it was offered
                self._waiting.remove(ordinal)
                self._start(ordinal)
                under_way[work.rows[ordinal].host] += 1
                in_work += 1

    def _most(self) -> int:
        """How many may be in work of those that can be reached."""
        most = allowed(self._max_unavailable, len(self._work.rows), forced=self._forced)
        return max(1, most - self._count_away())

    def _count_away(self) -> int:
        return sum(self._hosted[host] for host in self._list_away())

    def _start(self, ordinal: int) -> None:
        def end(task: asyncio.Task[None]) -> None:
            del self._running[ordinal]
            self._trouble = error_of(task) or self._trouble
            self._changed.set()

        self._running[ordinal] = asyncio.create_task(self._update(ordinal))
        self._running[ordinal].add_done_callback(end)

    async def _update(self, ordinal: int) -> None:
        """One desktop, from the moment at which it seems free; back in line when it is not."""
        row = self._work.rows[ordinal]
        use = self._uses.get(ordinal)
        try:
            taken = (
                row
                if row.intended
                else await taking.take(self._work, row, use, forced=self._forced)
            )
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
            if not self._occupied:
                self._ask_at = time.monotonic() + _ASK_AGAIN_SECONDS
            self._occupied.add(ordinal)

    async def _hand_out(self) -> None:
        """Let go of what is done; of desktops that are all left off, once one was tried."""
        work = self._work
        rows = [work.rows[ordinal] for ordinal in self._finished]
        to_try = None if self._is_tried() else self._find_to_try()
        if to_try and not await self._try(to_try):
            raise Halted
        self._finished.clear()
        await with_records(_release, work, [row.name for row in rows])

    def _is_tried(self) -> bool:
        done = (self._work.rows[ordinal] for ordinal in self._waves[self._wave])
        return self._tried or any(
            row.was_running for row in done if row.status is VmStatus.COMPLETE
        )

    def _find_to_try(self) -> JobDesktop | None:
        """One of what is done, on a host that is there."""
        there = (ordinal for ordinal in self._finished if self._absence(ordinal) is None)
        return next((self._work.rows[ordinal] for ordinal in there), None)

    async def _try(self, row: JobDesktop) -> bool:
        """Whether it boots. If not the wave has failed."""
        work = self._work
        while True:
            try:
                await gate.try_image(work, row)
            except errors.HostUnavailable as error:
                await work.host_back(row, error)
            except errors.RecordsUnavailable:
                await pause()
            except errors.RdmsError as error:
                failed = replace(work.rows[row.ordinal], status=VmStatus.FAILED, error=str(error))
                await work.write([replace(failed, reason=stages.reason_of(error))])
                self._fail(row.wave, f"{row.name}: {error}")
                return False
            else:
                self._tried = True
                return True

    def _judge(self) -> None:
        """A wave fails with its first desktop; of a job that goes on at errors, with its last."""
        for wave, ordinals in self._waves.items():
            ended = [self._work.rows[ordinal].status for ordinal in ordinals]
            if wave <= self._wave and VmStatus.FAILED in ended and VmStatus.COMPLETE not in ended:
                self._fail(wave, "none of its desktops came out well")

    def _fail(self, wave: int, words: str) -> None:
        self._failure = render_reason(ReasonCode.WAVE_FAILED, f"wave {wave + 1}: {words}")
        self._work.run.halt.set()

    def _tell(self) -> list[tuple[int, Wait]]:
        """What those that nothing is done to wait for; asked from other threads."""
        waits = {ordinal: self._explain(ordinal) for ordinal in sorted(self._waiting.copy())}
        away = ""
        if hosts := self._list_away():
            away = f"; {self._count_away()} cannot be reached on {', '.join(hosts)}"
        under_way = list(self._running)
        wave = WaveNow(
            number=self._wave + 1,
            since=self._since,
            most=self._most(),
            under_way=under_way,
            finished=len(self._finished),
            age=self._age(under_way),
            line=sorted((o for o, wait in waits.items() if wait is None), key=self._place),
            others={ordinal: wait for ordinal, wait in waits.items() if wait},
            later=[self._waves[wave] for wave in sorted(self._waves) if wave > self._wave],
            away=away,
        )
        return tell_wave(self._work, wave)

    def _age(self, under_way: Iterable[int]) -> float:
        """Seconds since the last one was taken."""
        now = self._work.tools.clock()
        taken = (self._uses[ordinal].since for ordinal in under_way if self._is_ours(ordinal))
        return (now - max(taken, default=now)).total_seconds()

    def _place(self, ordinal: int) -> tuple[Rank, int]:
        """Who is taken before others, the least first."""
        use, row = self._uses.get(ordinal), self._work.rows[ordinal]
        return rank(use.use if use else None, runs=row.was_running), ordinal

    def _explain(self, ordinal: int) -> Wait | None:
        """What else than its turn it waits for."""
        if absence := self._absence(ordinal):
            return Wait(ReasonCode.HOST_AWAY, absence.words, absence.since)
        use = self._uses.get(ordinal)
        if use and use.use is Use.TAKEN:
            words = f"{use.holder} has it until he logs off"
            return self._waits_for_user(words, use.since)
        if ordinal in self._occupied:
            return self._waits_for_user("nobody can say whether a user is logged on", self._since)
        if use and use.use is Use.PREPARING:
            words = "its pool prepares it"
            return Wait(ReasonCode.DESKTOP_IN_WORK, words, use.since)
        return None

    def _waits_for_user(self, words: str, since: datetime) -> Wait:
        seconds = None
        if self._force and self._force.year < NEVER:
            seconds = self._seconds_to_force()
            words = f"{words}, or until {self._force:%Y-%m-%d %H:%M} UTC"
        return Wait(ReasonCode.USER_LOGGED_ON, words, since, seconds=seconds)


def _list_uses(work: Work, names: Sequence[str]) -> list[DesktopUse]:
    return work.tools.store.list_uses(names=names)


def _release(work: Work, names: Sequence[str]) -> None:
    tools = work.tools
    tools.store.release_uses(work.job.guid, tools.clock(), names)
    tools.uses.announce(names)
