"""Which hosts are away: noticed by whoever meets one that does not answer, or by asking.

A host that nobody has talked to lately is asked every ``Pace.period`` seconds, one that is away
after pauses that grow. A question that hangs counts as no answer and holds up no other host.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.services.hosts import Hosts

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds. A host that is lost is noticed within ``period`` + ``patience``.

    ``first`` and ``longest`` are the pauses between questions to a host that is away; each is
    shortened by up to half at random, lest all of them are asked at once.
    """

    period: float = 4.0
    patience: float = 3.0
    first: float = 0.1
    longest: float = 5.0


@dataclass(frozen=True)
class Absence:
    """Since when a host is away, and what was heard of it instead of an answer."""

    since: datetime
    words: str


Listener = Callable[[str, Absence | None], None]
"""Told a host's name and its absence, or None when it is back."""

_Waiting = tuple[asyncio.AbstractEventLoop, asyncio.Event]


@dataclass
class _Watch:
    """What is known of one host; guarded by the lock of HostHealth.

    ``heard`` is when it last answered anybody, ``left`` when it was found away (monotonic); ``met``
    is set when somebody has met it away, so that it is asked soon.
    """

    host: ports.Host
    absence: Absence | None = None
    given_up: bool = False
    heard: float = 0.0
    left: float = 0.0
    met: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[_Waiting] = field(default_factory=list)

    def is_over(self) -> bool:
        """Whether nobody needs to wait for it any longer."""
        return self.absence is None or self.given_up


class HostHealth:
    """Safe from any thread and any event loop. Hosts are named as in ``Hosts``."""

    def __init__(self, hosts: Hosts, clock: ports.Clock, pace: Pace | None = None) -> None:
        self._hosts = hosts
        self._clock = clock
        self._pace = pace or Pace()
        self._lock = threading.Lock()
        self._watches = {host.name.casefold(): _Watch(host) for host in hosts.all()}
        self._listeners: list[Listener] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to ask the hosts; the first failure that is noted does so too. Repeatable."""
        with self._lock:
            self._begin()

    def close(self) -> None:
        """Ask and tell no more; waits for no host."""
        with self._lock:
            if self._loop is not None:
                _call_soon(self._loop, self._loop.stop)

    def note_failure(self, host: str, error: errors.HostUnavailable) -> None:
        """Somebody's call found the host away. NotFound when there is no such host."""
        self._note(self._find(host), Absence(self._clock(), str(error)))

    def note_success(self, host: str) -> None:
        """Somebody's call was answered. NotFound."""
        self._note(self._find(host), None)

    def give_up(self, host: str) -> ports.Host:
        """Know a host that is away no more until it answers: whoever waits for it goes on, and
        finds that there is none of that name. NotFound; InvalidOperation while it is there.
        """
        watch = self._find(host)
        with self._lock:
            self.get_away(host)
            self._hosts.give_up(watch.host)
            watch.given_up = True
            self._wake(watch)
            if self._loop is not None:
                _call_soon(self._loop, self._tell, watch.host.name, watch.absence)
        return watch.host

    def get_away(self, host: str) -> ports.Host:
        """One that is away, or was given up. NotFound; InvalidOperation while it is there."""
        watch = self._find(host)
        if watch.absence is None:
            raise errors.InvalidOperation(f"host {watch.host.name} answers")
        return watch.host

    def is_away(self, host: str) -> bool:
        """NotFound."""
        return self.status(host) is not None

    def status(self, host: str) -> Absence | None:
        """None while it is there. NotFound."""
        return self._find(host).absence

    def require(self, host: str) -> None:
        """HostUnavailable while it is away: who asks it all the same might wait long. NotFound."""
        absence = self.status(host)
        if absence:
            raise errors.HostUnavailable(absence.words)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell it of every host that goes and comes back, in that order; returns how to end it.
        One that is given up is told of as one that goes.

        It must be quick: one thread tells all. Hosts that are away already are told of at once.
        """
        self._listeners.append(listener)
        for watch in self._watches.values():
            if watch.absence:
                listener(watch.host.name, watch.absence)
        return lambda: self._listeners.remove(listener)

    async def back(self, host: str) -> None:
        """Return when the host is there or was given up, which may be at once. May be cancelled.

        NotFound.
        """
        watch = self._find(host)
        waiting = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if watch.is_over():
                return
            watch.waiting.append(waiting)
        try:
            await waiting[1].wait()
        finally:
            with self._lock:
                watch.waiting.remove(waiting)

    def _find(self, host: str) -> _Watch:
        """Those that were given up too, which ``Hosts`` does not know."""
        asked = host.casefold()
        for name, watch in self._watches.items():
            if name == asked or (watch.given_up and name.partition(".")[0] == asked):
                return watch
        return self._watches[self._hosts.get(host).name.casefold()]

    def _begin(self) -> None:
        """With the lock held."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            thread = threading.Thread(target=self._run, args=(self._loop,), daemon=True)
            thread.name = "host-health"
            thread.start()

    def _note(self, watch: _Watch, absence: Absence | None) -> None:
        """What was heard of a host: an answer, or why there was none."""
        with self._lock:
            if absence is None:
                watch.heard = time.monotonic()
            if (watch.absence is None) is (absence is None):
                return
            watch.absence = absence
            if absence is None:
                watch.given_up = False
                self._hosts.take_back(watch.host)
                self._wake(watch)
            else:
                watch.left = time.monotonic()
                self._begin()  # now that it is known, lest the host is asked before its pause
            if self._loop is not None:
                _call_soon(self._loop, watch.met.set)
                _call_soon(self._loop, self._tell, watch.host.name, absence)
        if absence is None:
            _log.info("a host is back", host=watch.host.name)
        else:
            _log.warning("a host is away", host=watch.host.name, error=absence.words)

    def _wake(self, watch: _Watch) -> None:
        for loop, event in watch.waiting:
            _call_soon(loop, event.set)

    def _tell(self, host: str, absence: Absence | None) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(host, absence)
            except Exception:  # noqa: BLE001  whatever one does, the others are told
                _log.exception("a listener failed", host=host)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        tasks = [loop.create_task(self._watch_over(watch)) for watch in self._watches.values()]
        loop.run_forever()
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    async def _watch_over(self, watch: _Watch) -> None:
        pause = self._pace.first
        while True:
            if watch.absence is None:
                pause = self._pace.first
                silent = time.monotonic() - watch.heard
                with suppress(TimeoutError):
                    await asyncio.wait_for(watch.met.wait(), max(0.0, self._pace.period - silent))
                    watch.met.clear()
                    continue
                if time.monotonic() - watch.heard < self._pace.period:
                    continue
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  no secret
                pause = min(2 * pause, self._pace.longest)
            await self._ask(watch)

    async def _ask(self, watch: _Watch) -> None:
        """Ask once, and wait for the answer however long it takes: it may be the return."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def ask() -> None:
            try:
                reachable = watch.host.describe().reachable
            except Exception as error:  # noqa: BLE001  no defect may end the asking
                _log.warning("cannot ask a host", host=watch.host.name, error=repr(error))
                reachable = False
            _call_soon(loop, _settle, answer, reachable)

        asked = time.monotonic()
        # A thread of its own: one that hangs must not keep others, nor the process, waiting.
        threading.Thread(target=ask, name=f"ask-{watch.host.name}", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.patience):
                await asyncio.shield(answer)
        if not answer.done() and watch.heard < asked:
            self._note_silent(watch, f"has not answered for {self._pace.patience:g} s")
            asked = time.monotonic()
        if not await answer:
            self._note_silent(watch, "cannot be reached")
        elif asked >= watch.left:  # else it was found away since, and this may be of before
            self._note(watch, None)

    def _note_silent(self, watch: _Watch, what: str) -> None:
        self._note(watch, Absence(self._clock(), f"{watch.host.name} {what}"))


def _settle(answer: asyncio.Future[bool], reachable: bool) -> None:  # noqa: FBT001  it is the answer
    if not answer.done():
        answer.set_result(reachable)


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """Nothing is called when the loop has ended: nobody waits there any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)
