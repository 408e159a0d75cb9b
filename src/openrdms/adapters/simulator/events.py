"""Tells subscribers what happens in the cluster, when it is due: one thread, no polling."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable

from openrdms.adapters.simulator.clock import Clock
from openrdms.model.host import VmEvent

_log = logging.getLogger(__name__)

Callback = Callable[[VmEvent], None]


class Announcer:
    """Events by due time. ``holds`` is asked at that time whether an event still comes true."""

    def __init__(self, clock: Clock, holds: Callable[[VmEvent, float], bool]) -> None:
        self._clock = clock
        self._holds = holds
        self._subscribers: list[tuple[str, Callback]] = []
        self._due: list[tuple[float, int, VmEvent]] = []
        self._known: set[tuple[float, VmEvent]] = set()
        self._count = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def subscribe(self, host: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` on every event of that host; returns how to end it."""
        subscriber = (host, callback)
        with self._changed:
            self._subscribers.append(subscriber)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="simulator-events", daemon=True
                )
                self._thread.start()

        def unsubscribe() -> None:
            with self._changed:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        return unsubscribe

    def announce(self, due: float, event: VmEvent) -> None:
        """Tell of ``event`` at ``due``, once, however often it is announced."""
        with self._changed:
            if not self._subscribers or (due, event) in self._known:
                return
            self._count += 1
            self._known.add((due, event))
            heapq.heappush(self._due, (due, self._count, event))
            self._changed.notify()

    def close(self) -> None:
        """End the thread; nothing is told any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while (next_event := self._wait()) is not None:
            due, event = next_event
            if self._holds(event, due):
                for host, callback in tuple(self._subscribers):
                    if host == event.host:
                        _call(callback, event)

    def _wait(self) -> tuple[float, VmEvent] | None:
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - self._clock.now() if self._due else None
                if wait is not None and wait <= 0:
                    due, _, event = heapq.heappop(self._due)
                    self._known.discard((due, event))
                    return due, event
                self._changed.wait(wait)
            return None


def _call(callback: Callback, event: VmEvent) -> None:
    try:
        callback(event)
    except Exception:  # noqa: BLE001  whatever one subscriber does, the others are told
        _log.exception("a subscriber failed on %s", event)
