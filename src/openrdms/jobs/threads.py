"""Threads that are kept for a while: work waits for none, and none outlives a quiet moment."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")

_KEPT_SECONDS = 5.0

_Work = Callable[[], object]


class Threads:
    """Daemon threads, as many as there is work at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[queue.SimpleQueue[_Work]] = []
        self._lock = threading.Lock()

    def run(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Begin at once, in some thread; it must not raise."""

        def work() -> None:
            function(*args)

        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = queue.SimpleQueue()
            thread = threading.Thread(target=self._serve, args=(worker,), name=self._name)
            thread.daemon = True
            thread.start()
        worker.put(work)

    def _serve(self, mine: queue.SimpleQueue[_Work]) -> None:
        work = mine.get()
        while True:
            work()
            del work  # it may know a job that ends while we are idle
            with self._lock:
                self._idle.append(mine)
            try:
                work = mine.get(timeout=_KEPT_SECONDS)
            except queue.Empty:
                with self._lock:
                    if mine in self._idle:
                        self._idle.remove(mine)
                        return
                work = mine.get()  # somebody had chosen this thread already
