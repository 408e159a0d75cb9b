"""How slow the machine is for whoever works on it beside a test: by this a bar is scaled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_WORK_SECONDS = 0.02
_PAUSE_SECONDS = 0.06


@dataclass
class Slowdown:
    """``worst``: how many times its processor time a piece of work has taken at most, 1 or more."""

    worst: float = 1.0


@contextmanager
def slowdown() -> Iterator[Slowdown]:
    """Measure in the block: on an idle machine 1, else as many as share a processor or wait."""
    found = Slowdown()
    over = threading.Event()

    def measure() -> None:
        while not over.wait(_PAUSE_SECONDS):
            begun, end = time.monotonic(), time.thread_time() + _WORK_SECONDS
            while time.thread_time() < end:
                pass
            found.worst = max(found.worst, (time.monotonic() - begun) / _WORK_SECONDS)

    thread = threading.Thread(target=measure, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
