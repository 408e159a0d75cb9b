"""Whether the machine kept up: how late timers fired, and how busy it was."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

MOST_LATE = 0.5
"""Seconds of the scenario by which one timer in a hundred may fire late; beyond, waits that the
report tells of are the machine's, not the service's."""

_LATELY = 50
"""Timers that are looked at to see whether a run is to be given up."""


@dataclass
class Lag:
    """Of one run. Not safe from several threads: whoever fires the timers notes them."""

    late: list[float] = field(default_factory=list)
    wall: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)

    def note(self, seconds: float) -> None:
        """A timer fired so many seconds of the scenario after it was due."""
        self.late.append(max(0.0, seconds))

    @property
    def usual(self) -> float:
        """What one timer in a hundred exceeded, in seconds."""
        return sorted(self.late)[int(len(self.late) * 0.99)] if self.late else 0.0

    @property
    def distorts(self) -> bool:
        """Whether the figures of the run are to be believed no more."""
        return self.usual > MOST_LATE

    @property
    def is_hopeless(self) -> bool:
        """Whether most timers are late by now."""
        lately = sorted(self.late[-_LATELY:])
        return len(lately) == _LATELY and lately[_LATELY // 2] > MOST_LATE

    @property
    def cpu_share(self) -> float:
        """Of one processor, since the run began."""
        return (time.process_time() - self.cpu) / max(1e-6, time.monotonic() - self.wall)
