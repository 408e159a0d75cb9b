"""What came of a scenario."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from openrdms.twin.lag import Lag

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Sample:
    """One moment: desktops by use over all collections, and how many users wait."""

    at: float
    ready: int
    preparing: int
    taken: int
    in_work: int
    waiting: int


@dataclass(frozen=True)
class Waited:
    """Somebody who came at ``at`` got a desktop ``seconds`` later."""

    at: float
    seconds: float


@dataclass(frozen=True)
class JobEnd:
    """One job: when it began and ended (None: it has not), its state and its desktops."""

    action: str
    collection: str
    state: str
    began: float
    ended: float | None
    succeeded: int
    failed: int
    reasons: dict[str, int]


@dataclass
class Report:
    """All times in seconds of the scenario. ``failures`` counts what users met, by reason."""

    name: str
    speed: float
    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    waits: list[Waited] = field(default_factory=list)
    came: int = 0
    left: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    jobs: list[JobEnd] = field(default_factory=list)
    orphans: int = 0
    late: float = 0.0
    busy: float = 0.0
    distorted: bool = False

    def note_lag(self, lag: Lag) -> None:
        """Say how well the machine kept up."""
        self.late, self.busy, self.distorted = lag.usual, lag.busy, lag.distorts

    def percentile(self, percent: int) -> float:
        """What so many of a hundred who got a desktop waited at the most; 0 for nobody."""
        waits = sorted(waited.seconds for waited in self.waits)
        return waits[min(len(waits) - 1, len(waits) * percent // 100)] if waits else 0.0

    def facts(self) -> dict[str, Any]:
        """For people."""
        longest = max((sample.waiting for sample in self.samples), default=0)
        return {
            "scenario": self.name,
            "seconds": round(self.seconds, 1),
            "users who came": self.came,
            "connects brokered": len(self.waits),
            "last brokered at": round(max((w.at + w.seconds for w in self.waits), default=0), 1),
            **{f"wait p{p} s": round(self.percentile(p), 2) for p in PERCENTILES},
            "longest line": longest,
            "users who left": self.left,
            "failures": ", ".join(f"{n} {why}" for why, n in self.failures.most_common()) or "none",
            "orphans": self.orphans,
            "speed": f"{self.speed:g} x",
            "timers late by p99 s": round(self.late, 3),
            "processor busy": f"{100 * self.busy:.0f} % of the time",
            "figures": "distorted: the machine did not keep up" if self.distorted else "sound",
        }

    def whole(self) -> dict[str, Any]:
        """For programs."""
        waits = {f"p{percent}": self.percentile(percent) for percent in PERCENTILES}
        failures = dict(self.failures)  # of a Counter asdict makes one of pairs
        return {**asdict(self), "failures": failures, "percentiles": waits}
