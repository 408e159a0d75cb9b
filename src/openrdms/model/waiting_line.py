"""People who wait for a desktop of one collection, and how long that will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

LAPSE_SECONDS = 30.0
"""A place is lost when nobody has asked for it for so long."""


@dataclass(frozen=True, slots=True)
class Place:
    """Somebody in a line. ``since`` and ``asked`` are seconds of the same clock as ``now``."""

    holder: str
    since: float
    asked: float


@dataclass(frozen=True)
class Standing:
    """Where somebody stands, from 1, and for how many seconds already."""

    position: int
    is_new: bool
    waited: float


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

    def keep(self, holder: str, now: float) -> None:
        """As if he had asked; without a place nothing."""
        self._drop_lapsed(now)
        if holder.casefold() in self._places:
            self.ask(holder, now)

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


def estimate_turn(position: int, seconds: float, elapsed: Iterable[float]) -> float:
    """In how many seconds so many desktops will be ready, when each takes ``seconds``.

    ``elapsed`` has for how long those that are under way have been. They come one after the
    other, and as many again in every later round.
    """
    remaining = sorted(max(0.0, seconds - spent) for spent in elapsed) or [seconds]
    rounds, place = divmod(position - 1, len(remaining))
    return remaining[place] + rounds * seconds
