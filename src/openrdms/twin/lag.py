"""Whether the machine kept up: how late timers fired, and how busy it was."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

MOST_LATE = 0.25
"""Seconds of the scenario by which one timer in a hundred may fire late."""

BUSY = 0.85
"""Of one processor: more than that leaves Python threads waiting for each other."""

MOST_BUSY = 0.1
"""Which part of the time may be busy; beyond either, waits that the report tells of are the
machine's, not the service's."""

_LATELY = 50
"""Timers that are looked at to see whether a run is to be given up."""


@dataclass
class Lag:
    """Of one run. Not safe from several threads: whoever fires the timers notes them."""

    late: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    _wall: float = field(default_factory=time.monotonic)
    _cpu: float = field(default_factory=time.process_time)

    def note(self, seconds: float) -> None:
        """A timer fired so many seconds of the scenario after it was due."""
        self.late.append(max(0.0, seconds))

    def note_processor(self) -> None:
        """Remember how busy this process was since the last time."""
        wall, cpu = time.monotonic(), time.process_time()
        self.shares.append((cpu - self._cpu) / max(1e-6, wall - self._wall))
        self._wall, self._cpu = wall, cpu

    @property
    def usual(self) -> float:
        """What one timer in a hundred exceeded, in seconds."""
        return sorted(self.late)[int(len(self.late) * 0.99)] if self.late else 0.0

    @property
    def busy(self) -> float:
        """Which part of the time was busy, 0 to 1."""
        return sum(share > BUSY for share in self.shares) / max(1, len(self.shares))

    @property
    def distorts(self) -> bool:
        """Whether the figures of the run are to be believed no more."""
        return self.usual > MOST_LATE or self.busy > MOST_BUSY

    @property
    def is_hopeless(self) -> bool:
        """Whether most timers are late by now."""
        lately = sorted(self.late[-_LATELY:])
        return len(lately) == _LATELY and lately[_LATELY // 2] > MOST_LATE
