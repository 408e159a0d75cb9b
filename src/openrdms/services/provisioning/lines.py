"""The desktops of each host in a line: who begins when.

No more are under way on a host than its concurrency factor says. Those that wait for a call on it
are fewer still: a host does a few calls at a time, and more that wait there would cost memory and
bring nothing forward. Those whose guests boot count as under way alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import repeat

from openrdms.jobs.tokens import Kind
from openrdms.model.job import JobDesktop
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning import stages as acts
from openrdms.services.provisioning.estimates import expect_begins
from openrdms.services.provisioning.work import Work

Act = Callable[[int], Awaitable[None]]

_TURNS = 8
_SPARE = 4
"""Desktops on their way to a boot: so many for each call that the host may get, and some more, so
that a host is never idle while rows are written.
"""


async def in_lines(work: Work, rows: Iterable[JobDesktop], act: Act) -> None:
    """Do it for every row, by ordinal, on all hosts at once; for no more once ``work`` is shut.

    What one raises is raised once all that were under way have come to rest.
    """
    lines: dict[str, _Line] = {}
    for row in rows:
        line = lines.get(row.host)
        if line is None:
            line = lines[row.host] = _Line(work, row.host, act)
        line.waiting.append(row.ordinal)
    with work.tools.waits.line(
        work.job.guid, lambda: [told for line in lines.values() for told in line.tell()]
    ):
        await asyncio.gather(*(line.serve() for line in lines.values()))
    errors = [line.error for line in lines.values() if line.error]
    if errors:
        raise errors[0]


def error_of(task: asyncio.Future[None]) -> BaseException | None:
    """What a desktop's task ended with; None when all went well.

    Nobody cancels such a task. One that is cancelled all the same has left its desktop anywhere,
    and is to be begun again like one whose result could not be written.
    """
    if task.cancelled():
        return RuntimeError("a desktop was left on its way: its task was cancelled")
    return task.exception()


class _Line:
    """Of one host."""

    def __init__(self, work: Work, host: str, act: Act) -> None:
        self.waiting: deque[int] = deque()
        self.error: BaseException | None = None
        self._work = work
        self._host = host
        self._act = act
        self._under_way: dict[asyncio.Task[None], float] = {}
        """Since when, by the monotonic clock."""
        self._making: set[int] = set()
        self._moved = asyncio.Event()

    async def serve(self) -> None:
        """Return when all have come to rest."""
        while self.waiting or self._under_way:
            if self.waiting and self._work.is_shut:
                self.waiting.clear()
            elif self.waiting and self._may_begin():
                self._begin(self.waiting.popleft())
            else:
                self._moved.clear()
                await self._moved.wait()

    def _may_begin(self) -> bool:
        tools = self._work.tools
        calls = tools.tokens.load(self._host).limit
        return (
            len(self._under_way) < tools.factor(self._host)
            and len(self._making) < _TURNS * calls + _SPARE
        )

    def _begin(self, ordinal: int) -> None:
        self._making.add(ordinal)
        self._work.made[ordinal] = lambda: self._leave(ordinal)
        task = asyncio.ensure_future(self._act(ordinal))
        self._under_way[task] = time.monotonic()
        task.add_done_callback(lambda task: self._end(ordinal, task))

    def _leave(self, ordinal: int) -> None:
        self._making.discard(ordinal)
        self._moved.set()

    def _end(self, ordinal: int, task: asyncio.Task[None]) -> None:
        self._work.made.pop(ordinal, None)
        del self._under_way[task]
        self.error = self.error or error_of(task)
        self._leave(ordinal)

    def tell(self) -> list[tuple[int, Wait]]:
        """What those that have not begun wait for."""
        now = time.monotonic()
        ages = [now - begun for begun in self._under_way.copy().values()]
        return tell_line(self._work, self._host, tuple(self.waiting), ages, len(self._making))


def tell_line(
    work: Work,
    host: str,
    ordinals: Iterable[int],
    ages: Sequence[float] = (),
    calling: int = 0,
    undo: Kind | None = None,
) -> list[tuple[int, Wait]]:
    """What desktops that stand in that order wait for on a host, with position and estimate. Those
    before the line are under way for ``ages`` in seconds, and ``calling`` of them still make calls.
    ``undo`` is by which calls they are taken back, if they are.
    """
    action = undo or work.job.action
    starts = acts.starts_any(work)
    copying = 0.0 if undo else work.copies_left(host)
    if copying:  # nobody has begun with anything
        ages = [0.0] * len(ages)
    expected = expect_begins(work.tools, host, action, starts=starts, ages=ages, calling=calling)
    begins: Iterable[float | None] = repeat(None)
    if expected is not None and copying is not None:
        begins = (copying + begin for begin in expected)
    words = f"waits until others on {host} are done"
    if ages:
        words = f"{words}, of which {len(ages)} are under way"
    return [
        (ordinal, Wait(ReasonCode.HOST_BUSY, words, work.job.started, position, seconds))
        for position, (ordinal, seconds) in enumerate(zip(ordinals, begins, strict=False), 1)
    ]
