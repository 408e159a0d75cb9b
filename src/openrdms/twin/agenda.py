"""What is to happen when, on the scenario's clock; one thread fires it and notes how late."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

from openrdms.twin.lag import Lag

Act = Callable[[], None]


class Agenda:
    """``at`` is safe from any thread; ``run`` is called once. ``seconds`` tells the time."""

    def __init__(self, seconds: Callable[[], float], speed: float, lag: Lag) -> None:
        self._seconds = seconds
        self._speed = speed
        self._lag = lag
        self._due: list[tuple[float, int, Act]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()

    def at(self, due: float, act: Act) -> None:
        """Fire ``act``, which must be quick, when it is due."""
        with self._changed:
            heapq.heappush(self._due, (due, next(self._count), act))
            self._changed.notify()

    def run(self, until: float) -> None:
        """Fire what is due until then."""
        while self._seconds() < until:
            with self._changed:
                next_due = min(until, self._due[0][0]) if self._due else until
                left = next_due - self._seconds()
                if left > 0:
                    self._changed.wait(left / self._speed)
                    continue
                if not self._due or self._due[0][0] > self._seconds():
                    continue
                due, _, act = heapq.heappop(self._due)
            self._lag.note(self._seconds() - due)
            act()
