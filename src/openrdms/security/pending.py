"""What a browser has begun and not finished: kept for minutes, in memory, under a random name."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from openrdms import ports
from openrdms.security.lockout import place_of

MOST = 10_000
MOST_OF_PLACE = 100
"""The oldest go first; those of one address first of all, so that nobody throws out others."""

_Value = TypeVar("_Value")


class Pending(Generic[_Value]):
    """Safe from any thread. A service that ends forgets them: who was in the middle begins anew."""

    def __init__(self, clock: ports.Clock, life: timedelta) -> None:
        self._clock = clock
        self._life = life
        self._lock = threading.Lock()
        self._values: OrderedDict[str, tuple[_Value, datetime]] = OrderedDict()
        self._of_places: dict[str, deque[str]] = {}

    def put(self, value: _Value, address: str) -> str:
        """Keep it; returns the secret that it is found by."""
        secret, place = secrets.token_urlsafe(32), place_of(address)
        with self._lock:
            self._values[secret] = value, self._clock() + self._life
            of_place = self._of_places.setdefault(place, deque())
            of_place.append(secret)
            if len(of_place) > MOST_OF_PLACE:
                self._values.pop(of_place.popleft(), None)
            if len(self._values) > MOST:
                self._values.popitem(last=False)
            self._of_places = {
                place: known
                for place, known in self._of_places.items()
                if known[-1] in self._values
            }
        return secret

    def find(self, secret: str) -> _Value | None:
        """It; None when it is unknown, over or taken."""
        with self._lock:
            value, ends = self._values.get(secret, (None, self._clock()))
        return value if ends > self._clock() else None

    def take(self, secret: str) -> _Value | None:
        """The same, for one: of several who take it one gets it."""
        with self._lock:
            value, ends = self._values.pop(secret, (None, self._clock()))
        return value if ends > self._clock() else None
