"""What a job has made is taken back, and what nobody needs any more is removed.

All of one desktop is undone in a row, in one thread, and who ends one begins the next of that host.
What has come of them is written many at a time.

Hosts that are away are waited for. What a host refuses again and again stays.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import structlog

from openrdms.jobs.results import Results
from openrdms.jobs.tokens import Kind
from openrdms.model import errors
from openrdms.model.job import JobDesktop
from openrdms.model.reason import Wait
from openrdms.services.provisioning.lines import tell_line
from openrdms.services.provisioning.outbox import Change
from openrdms.services.provisioning.records import pause
from openrdms.services.provisioning.stages import REMOVALS, Undo
from openrdms.services.provisioning.step_times import UNDO
from openrdms.services.provisioning.work import Work, with_error

MAX_REFUSALS = 5
"""How often an undo is asked for of a host that refuses it."""

_FIRST_PAUSE = 0.05

_GATHERED = 0.08
"""Seconds for which those that are over wait for others to be written with. Nobody waits longer for
that: all that are left are written at once.
"""

_log = structlog.get_logger(__name__)


class Undoing:
    """What is still to be undone of one desktop, what was, and what is to be said of it.

    ``row`` is how its job has left it, be that on record or not. ``error`` is what the last
    attempt has met.
    """

    def __init__(self, row: JobDesktop, undos: Iterable[tuple[str, Undo]]) -> None:
        self.row = row
        self.left = deque(undos)
        self.error: Exception | None = None
        self.refusals = 0
        self._undone: list[str] = []
        self._said: list[str] = []

    @property
    def is_over(self) -> bool:
        """Whether nothing is left, or nothing more is to be tried."""
        return not self.left or self.refusals >= MAX_REFUSALS

    @property
    def kind(self) -> Kind:
        """What its call on the host does, as tokens have it."""
        is_off = all(undo in REMOVALS for _, undo in self.left)
        return Kind.REMOVE if is_off else Kind.STOP

    def go_on(self, work: Work) -> None:
        """All of it, in a row, in this thread."""
        while self.left:
            name, undo = self.left[0]
            self._said.append(undo(work, self.row))
            self._undone.append(name)
            self.left.popleft()

    def tell(self, row: JobDesktop) -> JobDesktop:
        """The row with what has come of it."""
        for words in filter(None, self._said):
            row = with_error(row, words)
        return replace(row, undone=(*row.undone, *self._undone)) if self._undone else row


Conclude = Callable[[Undoing], Change | None]
"""What to write of one that is over; what its host refuses to undo is left in it."""


class Undoings:
    """Of one job, on all its hosts at once. On one event loop, for what takes back."""

    def __init__(self, work: Work, conclude: Conclude) -> None:
        self._work = work.past_halt()
        self._conclude = conclude
        self._lines: dict[tuple[str, Kind], _Line] = {}
        self._ended: Results[Undoing] = Results()
        self._open = 0
        self._collector: asyncio.Task[None] | None = None
        self._patient: set[asyncio.Task[None]] = set()
        self._trouble: Exception | None = None

    def add(self, undoings: Iterable[Undoing]) -> None:
        """Begin with each when its turn on its host has come."""
        self._begin(self._count(undoings))
        if self._open and self._collector is None:
            self._collector = asyncio.create_task(self._collect())

    async def finish(self) -> None:
        """Return when all are over, and on record. What the store raises is raised when all have
        come to rest: what could not be written is undone again by who repeats it.
        """
        if self._collector:
            await self._collector
        if self._trouble:
            raise self._trouble

    def _count(self, undoings: Iterable[Undoing]) -> Iterator[Undoing]:
        for undoing in undoings:
            self._open += 1
            yield undoing

    def _begin(self, undoings: Iterable[Undoing]) -> None:
        """On each host with the first one at once, and with the others from there."""
        lines: dict[tuple[str, Kind], _Line] = {}
        for undoing in undoings:
            if undoing.is_over:
                self._ended.put(undoing)
            else:
                lane = undoing.row.host, undoing.kind
                line = lines[lane] = self._line_of(*lane)
                line.add(undoing)
        for line in lines.values():
            line.go_on()

    def _line_of(self, host: str, kind: Kind) -> _Line:
        line = self._lines.get((host, kind))
        if line is None:
            line = self._lines[host, kind] = _Line(self._work, host, kind, self._ended.put)
        return line

    async def _collect(self) -> None:
        try:
            with self._work.tools.waits.line(self._work.job.guid, self._tell_lines):
                gathered = 0.0  # of what had not begun; that is written while hosts are at the rest
                while self._open:
                    ended = await self._ended.take(self._open, gathered)
                    await self._conclude_some(ended)
                    gathered = _GATHERED
        finally:
            self._collector = None
            for line in self._lines.values():
                line.clear()

    async def _conclude_some(self, ended: Iterable[Undoing]) -> None:
        over: list[Undoing] = []
        for undoing in ended:
            if undoing.is_over:
                over.append(undoing)
            else:
                self._try_again(undoing)
        self._open -= len(over)
        try:
            changes = [change for one in over if (change := self._conclude(one))]
            await self._work.change(changes, last=not self._open)
        except Exception as trouble:  # noqa: BLE001  whatever it is, the others go on
            self._trouble = trouble

    def _tell_lines(self) -> list[tuple[int, Wait]]:
        return [told for line in [*self._lines.values()] for told in line.tell()]

    def _try_again(self, undoing: Undoing) -> None:
        task = asyncio.create_task(self._be_patient(undoing))
        self._patient.add(task)
        task.add_done_callback(self._patient.discard)

    async def _be_patient(self, undoing: Undoing) -> None:
        """Begin anew when it is worth while. Who meets a defect here has tried once."""
        try:
            await self._wait(undoing)
        except Exception as trouble:  # noqa: BLE001  whatever it is, this one has to end, too
            self._trouble = trouble
            undoing.refusals += 1
        self._begin([undoing])

    async def _wait(self, undoing: Undoing) -> None:
        error = undoing.error
        if isinstance(error, errors.RecordsUnavailable):
            await pause()
        elif isinstance(error, errors.HostUnavailable):
            await self._tell(undoing, error)
            with suppress(errors.NotFound):  # it was given up: the next attempt is refused
                await self._work.host_back(undoing.row, error)
        elif error:
            undoing.refusals += 1
            await self._tell(undoing, error)
            if not undoing.is_over:
                await asyncio.sleep(_FIRST_PAUSE * 2**undoing.refusals)

    async def _tell(self, undoing: Undoing, error: Exception) -> None:
        """Let the report say what is in the way; once per reason."""
        row, words = undoing.row, str(error) or repr(error)
        _log.warning(
            "cannot take back or clean up yet",
            job=self._work.job.guid,
            desktop=row.name,
            reason=words,
        )
        undoing.row = with_error(row, words)
        if undoing.row is not row:
            await self._work.write([undoing.row])


class _Line:
    """Of one host, for calls of one kind. It is asked for no more of these at a time than its
    concurrency factor says, so that others have their turns.
    """

    def __init__(self, work: Work, host: str, kind: Kind, end: Callable[[Undoing], None]) -> None:
        self._work = work
        self._host = host
        self._kind = kind
        self._end = end
        self._lock = threading.Lock()
        self._waiting: deque[Undoing] = deque()
        self._asked = 0
        self._not_begun: dict[int, None] = {}
        """By ordinal, in their order."""

    def add(self, undoing: Undoing) -> None:
        """Undo it when its turn comes. Of many that are added who adds them goes on in the end."""
        self._not_begun[undoing.row.ordinal] = None
        self._waiting.append(undoing)
        if not self._asked:
            self.go_on()

    def go_on(self, ended: int = 0) -> None:
        """Ask for one more, now that so many have ended. Who begins asks for the next one."""
        while undoing := self._next(ended):
            try:
                self._work.tools.tokens.submit(self._host, self._kind, self._undo, undoing)
                return
            except errors.NotFound as error:  # the host was given up
                ended = 1
                undoing.error = error
                self._end(undoing)

    def _next(self, ended: int) -> Undoing | None:
        most = self._work.tools.factor(self._host)
        with self._lock:
            self._asked -= ended
            if not self._waiting or self._asked >= most:
                return None
            self._asked += 1
            return self._waiting.popleft()

    def _undo(self, undoing: Undoing) -> None:
        """In a thread, with a token of the host."""
        self._not_begun.pop(undoing.row.ordinal, None)
        try:
            self.go_on()
            self._work.act(undoing.row, UNDO, undoing.go_on, self._work)
        except Exception as error:  # undo meets everything that can go wrong
            undoing.error = error
            raise  # how many calls the host gets hangs on it
        finally:
            self._end(undoing)
            self.go_on(1)

    def clear(self) -> None:
        """Begin no more."""
        with self._lock:
            self._waiting.clear()

    def tell(self) -> list[tuple[int, Wait]]:
        """What those that have not begun wait for."""
        return tell_line(self._work, self._host, tuple(self._not_begun), undo=self._kind)
