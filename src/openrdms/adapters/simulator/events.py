"""Tells subscribers what happens in the cluster, when it is due.

One thread, which sleeps until the next event is due. What other processes do in the cluster no
event tells: for that it looks at a counter of the state file ten times a second.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from openrdms.adapters.simulator.clock import Clock
from openrdms.adapters.simulator.effects import News
from openrdms.model.host import VmEvent

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
"""The machine's, whatever the clock."""

_AT_ONCE = 100
"""Events that are looked at together: each look waits for all who work on the cluster."""

Callback = Callable[[VmEvent], None]


class Announcer:
    """Events by due time. ``sift`` is asked at that time which of them still come true;
    ``read_tidings`` gives what happened without being announced.
    """

    def __init__(
        self,
        clock: Clock,
        sift: Callable[[News], News],
        read_tidings: Callable[[], list[VmEvent]],
    ) -> None:
        self._read_tidings = read_tidings
        self._clock = clock
        self._sift = sift
        self._subscribers: defaultdict[str, list[Callback]] = defaultdict(list)
        self._due: list[tuple[float, int, VmEvent]] = []
        self._known: set[tuple[float, VmEvent]] = set()
        self._count = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def subscribe(self, host: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` on every event of that host; returns how to end it."""
        with self._changed:
            self._subscribers[host].append(callback)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="simulator-events", daemon=True
                )
                self._thread.start()

        def unsubscribe() -> None:
            with self._changed, suppress(ValueError):  # it was ended before
                self._subscribers[host].remove(callback)

        return unsubscribe

    def announce(self, due: float, event: VmEvent) -> None:
        """Tell of ``event`` at ``due``, once, however often it is announced."""
        self.announce_all([(due, event)])

    def announce_all(self, news: News) -> None:
        """Tell of each event when it is due, once, however often it is announced."""
        with self._changed:
            if not self._subscribers:
                return
            first = self._due[0] if self._due else None
            for due, event in news:
                if (due, event) not in self._known:
                    self._count += 1
                    self._known.add((due, event))
                    heapq.heappush(self._due, (due, self._count, event))
            if self._due and self._due[0] is not first:
                self._changed.notify()

    def close(self) -> None:
        """End the thread; nothing is told any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        look_at = 0.0
        while not self._closed:
            for _, event in self._sift(self._wait()):
                self._tell(event)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + _LOOK_SECONDS
                for event in self._read_tidings():
                    self._tell(event)

    def _tell(self, event: VmEvent) -> None:
        for callback in tuple(self._subscribers[event.host]):
            _call(callback, event)

    def _wait(self) -> News:
        """Some of the events that are due; none when it was time to look what others did."""
        with self._changed:
            if not self._due or self._until_due() > 0:
                longest = min(self._until_due(), _LOOK_SECONDS) if self._due else _LOOK_SECONDS
                self._changed.wait(longest)
            found: News = []
            while self._due and self._until_due() <= 0 and len(found) < _AT_ONCE:
                due, _, event = heapq.heappop(self._due)
                self._known.discard((due, event))
                found.append((due, event))
            return found

    def _until_due(self) -> float:
        """The machine's seconds until the first event."""
        return (self._due[0][0] - self._clock.now()) / self._clock.rate


def _call(callback: Callback, event: VmEvent) -> None:
    try:
        callback(event)
    except Exception:  # noqa: BLE001  whatever one subscriber does, the others are told
        _log.exception("a subscriber failed on %s", event)
