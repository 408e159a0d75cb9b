"""What a browser has begun and not finished: kept for minutes, in memory, under a random name."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from openrdms import ports

MOST = 10_000
"""The oldest go first."""

_Value = TypeVar("_Value")


class Pending(Generic[_Value]):
    """Safe from any thread. A service that ends forgets them: who was in the middle begins anew."""

    def __init__(self, clock: ports.Clock, life: timedelta) -> None:
        self._clock = clock
        self._life = life
        self._lock = threading.Lock()
        self._values: OrderedDict[str, tuple[_Value, datetime]] = OrderedDict()

    def put(self, value: _Value) -> str:
        """Keep it; returns the secret that it is found by."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._values[secret] = value, self._clock() + self._life
            if len(self._values) > MOST:
                self._values.popitem(last=False)
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
