"""People who wait for a desktop of one collection, and how long that will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

LAPSE_SECONDS = 30.0
"""A place is lost when nobody has asked for it for so long."""

_WEIGHT = 0.2
"""Of the newest time in the smoothed one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Somebody in a line. ``since`` and ``asked`` are seconds of the same clock as ``now``."""

    holder: str
    since: float
    asked: float


class WaitingLine:
    """First come, first served, as long as one keeps asking. Names ignore case.

    Every ``now`` is in seconds of one clock that never goes back. For one thread at a time.
    """

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}  # in the order in which they came

    def ask(self, holder: str, now: float) -> int:
        """His position from 1; it is the last one unless he has a place that has not lapsed."""
        self._drop_lapsed(now)
        key = holder.casefold()
        place = self._places.get(key)
        self._places[key] = replace(place, asked=now) if place else Place(holder, now, now)
        return list(self._places).index(key) + 1

    def leave(self, holder: str) -> None:
        """Give up his place; having none is fine."""
        self._places.pop(holder.casefold(), None)

    def list(self, now: float) -> list[Place]:
        """Places that have not lapsed, first come first."""
        self._drop_lapsed(now)
        return [*self._places.values()]

    def _drop_lapsed(self, now: float) -> None:
        for key, place in [*self._places.items()]:
            if now - place.asked > LAPSE_SECONDS:
                del self._places[key]


class PreparationTimes:
    """How long the desktops of one collection took to be made ready lately."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._seconds: float | None = None

    def begin(self, desktop: str, now: float) -> None:
        """It is being prepared from now on."""
        self._begun.setdefault(desktop, now)

    def end(self, desktop: str, now: float, *, ready: bool) -> None:
        """It is ready, or will not be; it may never have begun."""
        begun = self._begun.pop(desktop, None)
        if begun is not None and ready:
            took = now - begun
            before = took if self._seconds is None else self._seconds
            self._seconds = before + _WEIGHT * (took - before)

    def estimate(self, position: int, now: float) -> float | None:
        """In how many seconds that many will be ready; None when none has ever been.

        Those that are under way come one after the other, and as many again in every later round.
        """
        if self._seconds is None:
            return None
        return _nth_end(self._seconds, position, (now - begun for begun in self._begun.values()))


def _nth_end(seconds: float, position: int, elapsed: Iterable[float]) -> float:
    remaining = sorted(max(0.0, seconds - spent) for spent in elapsed) or [seconds]
    rounds, place = divmod(position - 1, len(remaining))
    return remaining[place] + rounds * seconds
