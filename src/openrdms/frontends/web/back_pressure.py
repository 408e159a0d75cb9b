"""What the service refuses rather than let others wait for it: 429, when to come again, and why.

Requests that ask hosts or guests may take long, so they have threads of their own, and a line
before them that is bounded: hosts that answer slowly leave everything else as quick as ever. So
have sign-ins. Of
both no account gets more than a share.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

from openrdms import metrics
from openrdms.frontends.web.visitors import AnyVisitor
from openrdms.model.errors import RdmsError

P = ParamSpec("P")
R = TypeVar("R")

HOST_THREADS = 64
HOST_LINE = 64
"""Requests that wait for one of those threads."""

SIGN_IN_THREADS = 16
SIGN_IN_LINE = 100
"""Sign-ins that wait for one of those; strangers may fill it, and stop nobody who is in."""

RATE, BURST = 200.0, 1000.0
"""Requests of an account: so many a second in the long run, and at once after a rest."""

IN_WORK = 32
"""Requests of an account that are under way: half of those threads, so that others get some."""

STREAMS = 20
"""Of events, for one account: more than anybody has pages open."""


class Overloaded(RdmsError):
    """Too much is asked for. It may be asked for again in ``seconds``."""

    def __init__(self, reason: str, words: str, seconds: int = 1) -> None:
        super().__init__(words)
        metrics.OVERLOADS.labels(reason).inc()
        self.reason = reason
        self.seconds = seconds


class _Lane:
    """Threads for one kind of work; ``reason`` and ``words`` are for who finds no room."""

    def __init__(self, threads: int, line: int, reason: str, words: str) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._most = threads + line
        self._reason = reason
        self._words = words
        self._inside = 0

    async def run(self, work: Callable[[], R]) -> R:
        """Do it in one of the threads. Overloaded."""
        if self._inside >= self._most:
            raise Overloaded(self._reason, f"{self._inside} {self._words}", 2)
        self._inside += 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        finally:
            self._inside -= 1


_HOSTS = _Lane(HOST_THREADS, HOST_LINE, "HostsBusy", "requests wait for hosts or guests already")
_SIGN_INS = _Lane(SIGN_IN_THREADS, SIGN_IN_LINE, "SignInsBusy", "sign-ins are under way already")


def on_hosts(function: Callable[P, R]) -> Callable[P, Coroutine[None, None, R]]:
    """A route that asks hosts or guests, as one that waits in its own line."""

    @functools.wraps(function)
    async def route(*args: P.args, **kwargs: P.kwargs) -> R:
        return await _HOSTS.run(functools.partial(function, *args, **kwargs))

    return route


async def run_sign_in(work: Callable[[], R]) -> R:
    """What proves who somebody is: slow on purpose, and a directory may not answer for a while.
    Overloaded.
    """
    return await _SIGN_INS.run(work)


@dataclass
class _Bucket:
    """How much an account may ask for at once, ``at`` a monotonic time."""

    left: float
    at: float


class Pressure:
    """What accounts have under way. Used on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._inside: Counter[str] = Counter()

    @contextmanager
    def admit(self, account: str) -> Iterator[None]:
        """Around one request. Overloaded."""
        self._draw(account)
        with self._count(account, IN_WORK, "requests under way"):
            yield

    @contextmanager
    def admit_stream(self, account: str) -> Iterator[None]:
        """Around one stream of events. Overloaded."""
        with self._count(f"{account}\nstreams", STREAMS, "streams of events open"):
            yield

    def _draw(self, account: str) -> None:
        now = self._clock()
        bucket = self._buckets.setdefault(account, _Bucket(BURST, now))
        bucket.left = min(BURST, bucket.left + RATE * (now - bucket.at))
        bucket.at = now
        if bucket.left < 1:
            words = f"more than {RATE:g} requests a second of {account}"
            raise Overloaded("TooManyRequests", words)
        bucket.left -= 1

    @contextmanager
    def _count(self, key: str, most: int, what: str) -> Iterator[None]:
        if self._inside[key] >= most:
            raise Overloaded("TooMuchInWork", f"{most} {what}")
        self._inside[key] += 1
        try:
            yield
        finally:
            self._inside[key] -= 1
            if not self._inside[key]:
                del self._inside[key]


PRESSURE = Pressure()


async def admit(visitor: AnyVisitor) -> AsyncIterator[None]:
    """For routers: counts and bounds the requests of each account. Overloaded."""
    with PRESSURE.admit(visitor.account.name):
        yield


async def admit_stream(visitor: AnyVisitor) -> AsyncIterator[None]:
    """For routes of streams: bounds how many each account has open. Overloaded."""
    with PRESSURE.admit_stream(visitor.account.name):
        yield
