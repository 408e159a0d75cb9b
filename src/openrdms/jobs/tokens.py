"""Tokens: how much may be asked of a host at a time. The way from workflows to blocking calls.

A call that makes something on a host takes one of its tokens. There are as many as the host has
slots at first; one more for every round of calls that take as long as they always do, one less
again for a round that takes longer, because then calls only wait on the host, where no cancel
reaches them; half as many when the host stops answering or takes much longer. So a slow host slows
only itself, and is known to be degraded.

Stops have tokens of their own, and so have removals: they never hold up starts. What is closest to
a finished desktop goes first, and what a user waits for before that.

Time is measured from the moment a call begins on the host, without what it waited here.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, TypeVarTuple

from openrdms import ports
from openrdms.jobs.halt import Halt, Halted
from openrdms.jobs.threads import Threads
from openrdms.model import errors

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

NORMAL = 1.25
SLOW = 4.0
"""Times the usual duration of such calls: up to the one the limit grows, beyond it shrinks, and
above the other the host is in trouble."""

LEAST_EXCESS = 0.25
"""Seconds by which a call must be slower than usual before that means anything."""

ROUND = 0.05
"""Seconds that a round of calls takes at least: of shorter calls a few say nothing."""

JUDGED_CALLS = 8
"""How many calls of a kind a host must have answered before it is compared with others."""

FORGIVEN_AFTER = 600.0
"""Seconds without a call after which a host is tried again like any other."""

GUEST_THREADS = 8
"""Calls at a time in the guests of one host."""


class Kind(StrEnum):
    """What a call does, the most urgent first."""

    START = "start"
    DEFINE = "define"
    CLONE = "clone"
    STOP = "stop"
    REMOVE = "remove"
    AGENT = "agent"
    ABORT = "abort"
    COPY = "copy"


_MAKING = frozenset({Kind.START, Kind.DEFINE, Kind.CLONE})
_ORDER = {kind: order for order, kind in enumerate(Kind, 1)}
_URGENT = 0


@dataclass(frozen=True)
class Load:
    """What a host is doing: ``limit`` calls of a sort may run at a time."""

    limit: int
    running: int
    waiting: int


class _Call:
    """One call that waits for its turn, and what came of it."""

    def __init__(
        self,
        kind: Kind,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        turn: threading.Event | None = None,
    ) -> None:
        """``turn`` is set, for who waits for it, when he may make the call himself."""
        self.kind = kind
        self.function = function
        self.args = args
        self.turn = turn
        self.among = 0
        """How many were under way with it when it began."""
        self.result: Future[Any] = Future()


@dataclass
class _Round:
    """Calls that were under way while there were as many as may be, and what they took at best."""

    begun: float
    calls: int = 0
    seconds: float = 0.0
    best: float = 0.0

    def add(self, seconds: float, best: float) -> None:
        self.calls += 1
        self.seconds += seconds
        self.best += best


class Limit:
    """How many calls at a time: a rule on values, told of every call that has ended.

    ``first`` is what the host says is worth while, ``cap`` what it may have at most.
    """

    def __init__(self, first: int, cap: Callable[[], int], *, adapts: bool = True) -> None:
        self._first = first
        self._cap = cap
        self._adapts = adapts
        self._limit = first
        self._round: _Round | None = None
        self._halved = 0.0
        self.is_lowest = False
        """Whether calls failed or dragged on so often that one at a time was left."""
        self._best: dict[Kind, float] = {}
        self.usual: dict[Kind, float] = {}
        """Seconds by kind, smoothed over the last calls."""
        self.calls: dict[Kind, int] = {}
        self.last = 0.0
        """When a call last ended, by the monotonic clock."""

    @property
    def now(self) -> int:
        """The limit of this moment, 1 or more."""
        return max(1, min(self._limit, self._cap()))

    def ended(
        self,
        kind: Kind,
        begun: float,
        ended: float,
        running: int,
        *,
        away: bool,
        failed: bool,
    ) -> None:
        """A call of ``kind`` took from ``begun`` to ``ended``; ``running`` were, when it began.
        One that has ``failed`` may have been quick for that alone.
        """
        seconds = ended - begun
        self.last = ended
        # of a kind that is new while calls wait on the host, so much is their waiting
        best = self._best.get(kind, seconds * min(1.0, self._first / running))
        slow = seconds > max(SLOW * best, best + LEAST_EXCESS)
        if self._adapts and (away or slow):
            self._halve(begun, ended)
        elif self._adapts and running >= self.now:
            self._judge(begun, ended, best)
        if not (away or failed):
            self._learn(kind, seconds, best, running)

    def _judge(self, begun: float, ended: float, best: float) -> None:
        """After as many calls as there may be at a time, or more short ones: by one, up or down."""
        this = self._round = self._round or _Round(begun)
        this.add(ended - begun, best)
        if this.calls < self.now or ended - this.begun < ROUND:
            return
        if this.seconds <= NORMAL * this.best:
            self._limit = min(self._limit, self._cap()) + 1
            self.is_lowest = False
        else:
            self._limit = max(self._limit - 1, min(self._limit, self._first))
        self._round = None

    def _halve(self, begun: float, ended: float) -> None:
        """Once for all calls that were under way together."""
        if begun >= self._halved:
            self._limit, self._round, self._halved = max(1, self.now // 2), None, ended
            self.is_lowest = self._limit == 1

    def _learn(self, kind: Kind, seconds: float, best: float, running: int) -> None:
        """What is usual gets worse only by calls that did not stand in each other's way."""
        if seconds < best or running <= self._first:
            best += (seconds - best) / 8
        self._best[kind] = best
        usual = self.usual.get(kind, seconds)
        self.usual[kind] = usual + (seconds - usual) / 4
        self.calls[kind] = self.calls.get(kind, 0) + 1


class _Lane:
    """Calls of one host that share a limit. Who ends one begins the next in the same thread, or
    gives its token to who waits for it in a thread of his own.
    """

    def __init__(self, limit: Limit, threads: Threads) -> None:
        self.limit = limit
        self._threads = threads
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, _Call]] = []
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many calls wait for a token."""
        return len(self._waiting)

    def list_ahead(self, function: Callable[..., Any]) -> list[Kind] | None:
        """Calls that get a token before that of ``function``; None when it does not wait."""
        with self._lock:
            waiting = self._waiting.copy()
        ahead: list[Kind] = []
        for _, _, call in sorted(waiting):
            if call.function == function:
                return ahead
            if not call.result.cancelled():
                ahead.append(call.kind)
        return None

    def submit(self, call: _Call, order: int) -> None:
        """Let it run when its turn comes."""
        with self._lock:
            heapq.heappush(self._waiting, (order, next(self._order), call))
        self._go_on()

    def run(self, call: _Call, order: int, turn: threading.Event) -> None:
        """Make the call in this thread when its turn comes."""
        self.submit(call, order)
        turn.wait()
        self._do(call)
        if following := self._next(1):
            self._begin(following)
        self._go_on()  # the limit may have grown

    def _go_on(self) -> None:
        while call := self._next(0):
            self._begin(call)

    def _begin(self, call: _Call) -> None:
        if call.turn:
            call.turn.set()
        else:
            self._threads.run(self._work, call)

    def _next(self, ended: int) -> _Call | None:
        """The next call, when there is a token for it; ``ended`` tokens are given back."""
        with self._lock:
            self.running -= ended
            while self._waiting and self.running < self.limit.now:
                call = heapq.heappop(self._waiting)[2]
                if call.result.set_running_or_notify_cancel():
                    self.running += 1
                    call.among = self.running
                    return call
            return None

    def _work(self, call: _Call) -> None:
        following: _Call | None = call
        while following and not following.turn:
            self._do(following)
            following = self._next(1)
        if following:
            self._begin(following)
        self._go_on()  # the limit may have grown

    def _do(self, call: _Call) -> None:
        begun = time.monotonic()
        try:
            result = call.function(*call.args)
        except BaseException as error:  # noqa: BLE001  it is raised to who asked for the call
            self._measure(call, begun, error)
            call.result.set_exception(error)
        else:
            self._measure(call, begun, None)
            call.result.set_result(result)

    def _measure(self, call: _Call, begun: float, error: BaseException | None) -> None:
        away, now = isinstance(error, errors.HostUnavailable), time.monotonic()
        with self._lock:
            self.limit.ended(call.kind, begun, now, call.among, away=away, failed=error is not None)


class Tokens:
    """Safe from any thread. Hosts are called by their names, as ``find`` and ``factor`` are.

    ``find`` gives a host, which says how many calls at once are worth while on it; ``factor`` says
    how many it may get at most (its concurrency factor).
    """

    def __init__(self, find: Callable[[str], ports.Host], factor: Callable[[str], int]) -> None:
        self._find = find
        self.factor = factor
        """The concurrency factor of a host."""
        self._threads = Threads("host")
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, str], _Lane] = {}

    def run(
        self,
        host: str,
        kind: Kind,
        function: Callable[[*Ts], R],
        *args: *Ts,
        urgent: bool = False,
    ) -> R:
        """What ``function`` returns or raises, called in this thread once it has its turn;
        ``urgent`` for a user.
        """
        turn = threading.Event()
        call = _Call(kind, function, args, turn)
        self._lane(host, kind).run(call, _URGENT if urgent else _ORDER[kind], turn)
        result: R = call.result.result()
        return result

    def submit(self, host: str, kind: Kind, function: Callable[[*Ts], R], *args: *Ts) -> Future[R]:
        """As ``run``, in a thread of its own, without waiting for it."""
        call = _Call(kind, function, args)
        self._lane(host, kind).submit(call, _ORDER[kind])
        return call.result

    async def call(
        self,
        host: str,
        kind: Kind,
        halt: Halt | None,
        function: Callable[[*Ts], R],
        *args: *Ts,
    ) -> R:
        """As ``run``, for workflows. Raises Halted when ``halt`` is set before its turn comes.

        A call that has begun is never interrupted: threads cannot be, and its effect is on a host.
        """
        if halt is None:
            return await asyncio.wrap_future(self.submit(host, kind, function, *args))
        if halt.is_set():
            raise Halted
        future = self.submit(host, kind, function, *args)
        with halt.telling(future.cancel):
            try:
                return await asyncio.wrap_future(future)
            except asyncio.CancelledError:
                if halt.is_set() and future.cancelled():
                    raise Halted from None
                raise

    def _lane(self, host: str, kind: Kind) -> _Lane:
        group = "make" if kind in _MAKING else str(kind)
        key = (host.casefold(), group)
        with self._lock:
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane(self._limit(host, kind), self._threads)
            return lane

    def _limit(self, host: str, kind: Kind) -> Limit:
        if kind is Kind.AGENT:
            return Limit(GUEST_THREADS, lambda: GUEST_THREADS, adapts=False)
        if kind is Kind.ABORT:  # for each start, and these have tokens
            return Limit(self.factor(host), lambda: self.factor(host), adapts=False)
        if kind is Kind.COPY:
            return Limit(1, lambda: 1, adapts=False)
        found = self._find(host)
        firsts = {Kind.STOP: found.stops, Kind.REMOVE: found.removals}
        return Limit(firsts.get(kind, found.slots), lambda: self.factor(host))

    def is_degraded(self, host: str) -> bool:
        """Whether it fails, or takes much longer than the others, so that it is to be spared."""
        key = (host.casefold(), "make")
        with self._lock:
            making = {h: lane.limit for (h, group), lane in self._lanes.items() if group == "make"}
        mine = making.pop(key[0], None)
        if mine is None or time.monotonic() > mine.last + FORGIVEN_AFTER:
            return False
        return mine.is_lowest or any(
            _is_slow(mine, kind, list(making.values())) for kind in mine.usual
        )

    def load(self, host: str, kind: Kind = Kind.START) -> Load:
        """What is done on it at this moment by calls that share their tokens with that ``kind``."""
        lane = self._lane(host, kind)
        return Load(lane.limit.now, lane.running, lane.waiting)

    def list_ahead(
        self, host: str, kind: Kind, function: Callable[..., object]
    ) -> list[Kind] | None:
        """What comes before a call that was asked for, in that order; None when it has begun."""
        return self._lane(host, kind).list_ahead(function)


def _is_slow(mine: Limit, kind: Kind, others: list[Limit]) -> bool:
    known = [other.usual[kind] for other in others if kind in other.usual]
    if not known or mine.calls[kind] < JUDGED_CALLS:
        return False
    median = statistics.median(known)
    return mine.usual[kind] > max(SLOW * median, median + LEAST_EXCESS)
