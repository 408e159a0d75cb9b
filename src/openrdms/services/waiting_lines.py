"""Who waits for a desktop of which pooled collection: in memory, since whoever waits asks again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.waiting_line import PreparationTimes, WaitingLine

Listener = Callable[[str], None]


@dataclass
class _Line:
    """``serving`` is held by whoever hands desktops to its people, lest two skip one another."""

    people: WaitingLine = field(default_factory=WaitingLine)
    times: PreparationTimes = field(default_factory=PreparationTimes)
    serving: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Standing:
    """Where somebody stands, for how many seconds already, and for how many still.

    ``remaining`` is None when there is no telling.
    """

    position: int
    is_new: bool
    waited: float
    remaining: float | None


class WaitingLines:
    """Safe from any thread. Collections by alias, ignoring case."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell it the collection whenever somebody new waits; returns how to end it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def ask(self, collection: str, holder: str) -> Standing:
        """Keep a place, at the end of the line when there is none yet."""
        now = self._clock()
        with self._lock:
            line = self._line(collection)
            position = line.people.ask(holder, now)
            place = line.people.list(now)[position - 1]
            remaining = line.times.estimate(position, now)
        standing = Standing(position, place.since == now, now - place.since, remaining)
        if standing.is_new:
            for listener in tuple(self._listeners):
                listener(collection)
        return standing

    def leave(self, collection: str, holder: str) -> None:
        """Give up a place; having none is fine."""
        with self._lock:
            self._line(collection).people.leave(holder)

    def count(self, collection: str) -> int:
        """How many wait."""
        with self._lock:
            return len(self._line(collection).people.list(self._clock()))

    @contextmanager
    def serving(self, collection: str) -> Iterator[Iterator[str]]:
        """People in their order, each the first one at that moment: alone in serving that line.

        Whoever was served must have left before the next one is asked for.
        """
        with self._lock:
            line = self._line(collection)
        with line.serving:
            yield self._heads(line)

    def hear(self, use: DesktopUse) -> None:
        """Listener of DesktopUses: learns how long desktops take to become ready."""
        now = self._clock()
        with self._lock:
            times = self._line(use.collection).times
            if use.use is Use.PREPARING:
                times.begin(use.name, now)
            else:
                times.end(use.name, now, ready=use.use is Use.READY)

    def _heads(self, line: _Line) -> Iterator[str]:
        while True:
            with self._lock:
                places = line.people.list(self._clock())
            if not places:
                return
            yield places[0].holder

    def _line(self, collection: str) -> _Line:
        return self._lines.setdefault(collection.casefold(), _Line())
