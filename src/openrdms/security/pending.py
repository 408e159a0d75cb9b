"""What a browser has begun and not finished: kept for minutes, in memory, under a random name."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from openrdms import ports
from openrdms.security.lockout import place_of

MOST = 10_000
"""Of all addresses. When there are more, the address that has begun the most loses its oldest:
nobody throws out others, and many may be behind one address.
"""

_Value = TypeVar("_Value")


class Pending(Generic[_Value]):
    """Safe from any thread. A service that ends forgets them: who was in the middle begins anew."""

    def __init__(self, clock: ports.Clock, life: timedelta) -> None:
        self._clock = clock
        self._life = life
        self._lock = threading.Lock()
        self._values: dict[str, tuple[_Value, datetime, str]] = {}
        self._of_places: dict[str, dict[str, None]] = {}
        """Secrets by address, the oldest first."""

    def put(self, value: _Value, address: str) -> str:
        """Keep it; returns the secret that it is found by."""
        secret, place = secrets.token_urlsafe(32), place_of(address)
        with self._lock:
            if len(self._values) >= MOST:
                fullest = max(self._of_places.values(), key=len)
                self._drop(next(iter(fullest)))
            self._values[secret] = value, self._clock() + self._life, place
            self._of_places.setdefault(place, {})[secret] = None
        return secret

    def find(self, secret: str) -> _Value | None:
        """It; None when it is unknown, over or taken."""
        with self._lock:
            return self._find(secret)

    def take(self, secret: str) -> _Value | None:
        """The same, for one: of several who take it one gets it."""
        with self._lock:
            value = self._find(secret)
            self._drop(secret)
        return value

    def _find(self, secret: str) -> _Value | None:
        value, ends, _ = self._values.get(secret, (None, self._clock(), ""))
        return value if ends > self._clock() else None

    def _drop(self, secret: str) -> None:
        _, _, place = self._values.pop(secret, (None, None, ""))
        of_place = self._of_places.get(place, {})
        of_place.pop(secret, None)
        if not of_place:
            self._of_places.pop(place, None)
