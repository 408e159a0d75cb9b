"""Repeated failures: the next attempt is refused for a while, each time for longer."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_FAILURES = 3
"""Of one name from one address; from the next one on each failure locks."""
FREE_FAILURES_OF_ADDRESS = 50
"""Of all names together, each counted while it is free. A script that goes on with an old password
locks its own name alone, not everybody else's who works from there.
"""
FREE_REFUSALS = 100
"""Of one lock. So often it says who was right lately, and then no more (NIST SP 800-63B 5.2.2)."""
FIRST_LOCK = 1.0
LONGEST_LOCK = 900.0
"""Seconds, twice as long each time. A lock's failures are forgotten LONGEST_LOCK after its end."""
MAX_REMEMBERED = 10_000
"""Names with address, and addresses; the longest untouched are forgotten first."""
_LONGEST_NAME = 256
"""Characters; no account has as many, and what was guessed is kept."""

_Key = tuple[str | None, str]
"""Name and place; None for all names."""


@dataclass
class _Failures:
    count: int = 0
    locked_until: float = 0.0
    refusals: int = 0
    """While this lock lasts."""


class Lockouts:
    """Counts failures by account name, ignoring case, and address. Any thread may call.

    Names are counted whether they exist or not, so that a lock tells nothing of accounts. An
    IPv6 client has its whole /64 to choose addresses from, so that is what counts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` counts seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[_Key, _Failures] = OrderedDict()

    def seconds_locked(self, name: str, address: str) -> float:
        """How long that name is refused from there; 0 when it may try."""
        if not self._failures:
            return 0.0
        now = self._clock()
        with self._lock:
            found = [self._find(key, now) for key in _keys(name, address)]
        return max([0.0, *(known.locked_until - now for known in found if known)])

    def lets_recall(self, name: str, address: str) -> bool:
        """Whether the lock may be passed by who was right lately: not after many have tried."""
        with self._lock:
            found = [self._failures.get(key) for key in _keys(name, address)]
        return all(known is None or known.refusals < FREE_REFUSALS for known in found)

    def refused(self, name: str, address: str) -> int:
        """Count an attempt that came to nothing because of a lock; the first of them is 1."""
        now = self._clock()
        with self._lock:
            found = [self._find(key, now) for key in _keys(name, address)]
            locked = [known for known in found if known and known.locked_until > now]
            for known in locked:
                known.refusals += 1
            return min((known.refusals for known in locked), default=1)

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        own, of_address = _keys(name, address)
        with self._lock:
            if self._count(own, now, FREE_FAILURES) <= FREE_FAILURES:
                self._count(of_address, now, FREE_FAILURES_OF_ADDRESS)
            while len(self._failures) > MAX_REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of that name; those of its neighbours go on to count."""
        if self._failures:
            with self._lock:
                self._failures.pop(_keys(name, address)[0], None)

    def _count(self, key: _Key, now: float, free: int) -> int:
        known = self._find(key, now) or _Failures()
        known.count += 1
        excess = known.count - free
        seconds = min(FIRST_LOCK * 2.0 ** min(excess - 1, 20), LONGEST_LOCK) if excess > 0 else 0.0
        known.locked_until = now + seconds
        known.refusals = 0
        self._failures[key] = known
        self._failures.move_to_end(key)
        return known.count

    def _find(self, key: _Key, now: float) -> _Failures | None:
        known = self._failures.get(key)
        if known and now > known.locked_until + LONGEST_LOCK:
            del self._failures[key]
            return None
        return known


def _keys(name: str, address: str) -> tuple[_Key, _Key]:
    place = place_of(address)
    return (name[:_LONGEST_NAME].casefold(), place), (None, place)


def place_of(address: str) -> str:
    """What counts of an address: all of IPv4's, the network of IPv6's."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
