"""Who waits for a desktop of which pooled collection: in memory, since whoever waits asks again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.waiting_line import WaitingLine, estimate_turn

Listener = Callable[[str, int], None]
"""Told a collection and how many wait for a desktop of it."""


@dataclass
class _Line:
    """``preparing`` has since when which desktop is; ``told`` how many waited when that was told.

    ``serving`` is held by whoever hands desktops to its people, lest two skip one another.
    """

    people: WaitingLine = field(default_factory=WaitingLine)
    preparing: dict[str, float] = field(default_factory=dict)
    told: int = 0
    serving: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Standing:
    """Where somebody stands, from 1, and for how many seconds already."""

    position: int
    is_new: bool
    waited: float


class WaitingLines:
    """Safe from any thread. Collections by alias, ignoring case."""

    def __init__(self, tell: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        """``tell`` must be quick, and may not ask here: lines wait for it."""
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}

    def ask(self, collection: str, holder: str) -> Standing:
        """Keep a place, at the end of the line when there is none yet."""
        now = self._clock()
        with self._lock:
            people = self._line(collection).people
            position = people.ask(holder, now)
            place = people.list(now)[position - 1]
        self.count(collection)
        return Standing(position, place.since == now, now - place.since)

    def find(self, collection: str, holder: str) -> Standing | None:
        """Where he stands; None for who does not wait. Asking so keeps no place."""
        now = self._clock()
        with self._lock:
            line = self._lines.get(collection.casefold())  # whatever is asked for: none is made
            places = line.people.list(now) if line else []
        for position, place in enumerate(places, 1):
            if place.holder.casefold() == holder.casefold():
                return Standing(position, is_new=False, waited=now - place.since)
        return None

    def keep(self, holder: str) -> None:
        """Keep every place that he has."""
        with self._lock:
            for line in self._lines.values():
                line.people.keep(holder, self._clock())

    def leave(self, collection: str, holder: str) -> None:
        """Give up a place; having none is fine."""
        with self._lock:
            self._line(collection).people.leave(holder)
        self.count(collection)

    def count(self, collection: str) -> int:
        """How many wait; whoever is to know is told when that has changed."""
        with self._lock:
            line = self._line(collection)
            count = len(line.people.list(self._clock()))
            if count == line.told:
                return count
            line.told = count
            self._tell(collection, count)  # the last one told must be the last one counted
        return count

    def estimate(self, collection: str, position: int, seconds: float) -> float:
        """In how many seconds it is that position's turn; ``seconds`` is what one desktop takes."""
        now = self._clock()
        with self._lock:
            begun = self._line(collection).preparing.values()
            return estimate_turn(position, seconds, [now - since for since in begun])

    @contextmanager
    def serving(self, collection: str) -> Iterator[Iterator[str]]:
        """People in their order, each the first one at that moment: alone in serving that line.

        Whoever was served must have left before the next one is asked for.
        """
        with self._lock:
            line = self._line(collection)
        with line.serving:
            yield self._heads(line)

    def hear(self, use: DesktopUse) -> None:
        """Listener of DesktopUses: knows which desktops are under way."""
        with self._lock:
            preparing = self._line(use.collection).preparing
            if use.use is Use.PREPARING:
                preparing.setdefault(use.name, self._clock())
            else:
                preparing.pop(use.name, None)

    def _heads(self, line: _Line) -> Iterator[str]:
        while True:
            with self._lock:
                places = line.people.list(self._clock())
            if not places:
                return
            yield places[0].holder

    def _line(self, collection: str) -> _Line:
        return self._lines.setdefault(collection.casefold(), _Line())
