"""How slow the machine is for whoever works on it beside a test: by this a bar is scaled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_WORK_SECONDS = 0.02
_PAUSE_SECONDS = 0.06


@dataclass
class Slowdown:
    """How many times its processor time a piece of work takes: 1 on an idle machine."""

    pieces: list[float] = field(default_factory=lambda: [1.0])

    @property
    def worst(self) -> float:
        """For what is over in a moment, which one such piece may hold up."""
        return max(self.pieces)

    @property
    def mean(self) -> float:
        """For what takes seconds."""
        return sum(self.pieces) / len(self.pieces)


@contextmanager
def slowdown() -> Iterator[Slowdown]:
    """Measure in the block."""
    found = Slowdown()
    over = threading.Event()

    def measure() -> None:
        while not over.wait(_PAUSE_SECONDS):
            begun, end = time.monotonic(), time.thread_time() + _WORK_SECONDS
            while time.thread_time() < end:
                pass
            found.pieces.append((time.monotonic() - begun) / _WORK_SECONDS)

    thread = threading.Thread(target=measure, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
