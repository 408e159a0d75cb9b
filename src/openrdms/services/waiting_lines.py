"""Who waits for a desktop of which collection: a spare, or a personal one that is nobody's yet.

Where a service is alone that is in memory, since whoever waits asks again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from openrdms import ports
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.waiting_line import LAPSE_SECONDS, Standing, WaitingLine, estimate_turn
from openrdms.services.alone import ALONE

Listener = Callable[[str, int], None]
"""Told a collection and how many wait for a desktop of it."""

_PAUSE = 0.05
"""Seconds until a line that another service serves is looked at again."""

_PATIENCE = LAPSE_SECONDS / 3
"""Seconds for which that is done: then whoever is first asks again."""


class LinesInMemory:
    """ports.WaitingStore of a service that is alone. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, WaitingLine] = {}

    def ask_place(self, collection: str, holder: str) -> Standing:
        """See ports.WaitingStore."""
        now = self._clock()
        with self._lock:
            people = self._lines.setdefault(collection.casefold(), WaitingLine())
            position = people.ask(holder, now)
            place = people.list(now)[position - 1]
        return Standing(position, place.since == now, now - place.since)

    def find_place(self, collection: str, holder: str) -> Standing | None:
        """See ports.WaitingStore."""
        now = self._clock()
        with self._lock:
            line = self._lines.get(collection.casefold())  # whatever is asked for: none is made
            places = line.list(now) if line else []
        for position, place in enumerate(places, 1):
            if place.holder.casefold() == holder.casefold():
                return Standing(position, is_new=False, waited=now - place.since)
        return None

    def keep_places(self, holder: str) -> None:
        """See ports.WaitingStore."""
        with self._lock:
            for line in self._lines.values():
                line.keep(holder, self._clock())

    def leave_place(self, collection: str, holder: str) -> None:
        """See ports.WaitingStore."""
        with self._lock:
            line = self._lines.get(collection.casefold())
            if line:
                line.leave(holder)

    def count_places(self, collection: str) -> int:
        """See ports.WaitingStore."""
        with self._lock:
            line = self._lines.get(collection.casefold())
            return len(line.list(self._clock())) if line else 0

    def find_first(self, collection: str) -> str | None:
        """See ports.WaitingStore."""
        with self._lock:
            line = self._lines.get(collection.casefold())
            places = line.list(self._clock()) if line else []
        return places[0].holder if places else None


@dataclass
class _Line:
    """``preparing`` has since when which desktop is; ``told`` how many waited when that was told.

    ``serving`` is held by whoever hands desktops to its people, lest two skip one another.
    """

    preparing: dict[str, float] = field(default_factory=dict)
    told: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)
    serving: threading.Lock = field(default_factory=threading.Lock)


class WaitingLines:
    """Safe from any thread. Collections by alias, ignoring case."""

    def __init__(
        self,
        tell: Listener,
        places: ports.WaitingStore,
        members: ports.MemberStore = ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``tell`` must be quick, and may not ask here: lines wait for it."""
        self._tell = tell
        self._places = places
        self._members = members
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}

    def ask(self, collection: str, holder: str) -> Standing:
        """Keep a place, at the end of the line when there is none yet."""
        standing = self._places.ask_place(collection, holder)
        self.count(collection)
        return standing

    def find(self, collection: str, holder: str) -> Standing | None:
        """Where he stands; None for who does not wait. Asking so keeps no place."""
        return self._places.find_place(collection, holder)

    def keep(self, holder: str) -> None:
        """Keep every place that he has."""
        self._places.keep_places(holder)

    def leave(self, collection: str, holder: str) -> None:
        """Give up a place; having none is fine."""
        self._places.leave_place(collection, holder)
        self.count(collection)

    def count(self, collection: str) -> int:
        """How many wait; whoever is to know is told when that has changed."""
        line = self._line(collection)
        with line.counting:  # the last one told must be the last one counted
            count = self._places.count_places(collection)
            if count != line.told:
                line.told = count
                self._tell(collection, count)
        return count

    def estimate(self, collection: str, position: int, seconds: float) -> float:
        """In how many seconds it is that position's turn; ``seconds`` is what one desktop takes."""
        now = self._clock()
        line = self._line(collection)
        with self._lock:
            begun = line.preparing.values()
            return estimate_turn(position, seconds, [now - since for since in begun])

    @contextmanager
    def serving(self, collection: str) -> Iterator[Iterator[str]]:
        """People in their order, each the first one at that moment: alone in serving that line.

        Whoever was served must have left before the next one is asked for. Nobody comes while
        another service goes on serving.
        """
        with (
            self._line(collection).serving,
            self._alone_in(f"line:{collection.casefold()}") as mine,
        ):
            yield self._heads(collection) if mine else iter(())

    @contextmanager
    def _alone_in(self, what: str) -> Iterator[bool]:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with self._members.exclusive(what) as mine:
                if mine or time.monotonic() > deadline:
                    yield mine
                    return
            time.sleep(_PAUSE)

    def hear(self, use: DesktopUse) -> None:
        """Listener of DesktopUses: knows which desktops are under way."""
        line = self._line(use.collection)
        with self._lock:
            if use.use is Use.PREPARING:
                line.preparing.setdefault(use.name, self._clock())
            else:
                line.preparing.pop(use.name, None)

    def _heads(self, collection: str) -> Iterator[str]:
        while True:
            first = self._places.find_first(collection)
            if first is None:
                return
            yield first

    def _line(self, collection: str) -> _Line:
        with self._lock:
            return self._lines.setdefault(collection.casefold(), _Line())
