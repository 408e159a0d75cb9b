"""How long calls on hosts take lately: measured by jobs, kept over restarts, for estimates."""

from __future__ import annotations

import threading
from functools import cache

from openrdms import metrics, ports
from openrdms.model.job import StepTime

_WEIGHT = 0.2
"""Of the newest measurement, once there are as many that it is no longer their plain mean."""

_Key = tuple[str, str]
"""Case-folded host, and kind: a tokens.Kind, BOOT or UNDO."""

BOOT = "boot"
"""From the start of a VM until its agent answers."""

UNDO = "undo"
"""All that is taken back or cleaned up of one desktop, in a row."""

_histogram = cache(metrics.STEP_SECONDS.labels)
"""To find one again by its labels takes longer than to count."""


class StepTimes:
    """Seconds a call takes once it has begun. Safe from any thread."""

    def __init__(self, store: ports.Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._times: dict[_Key, StepTime] = {}
        self._changed: set[_Key] = set()

    def load(self) -> None:
        """Begin with what was measured before the service was started."""
        stored = {_key(time.host, time.kind): time for time in self._store.list_step_times()}
        with self._lock:
            self._times = stored | self._times

    def save(self) -> None:
        """Put what has been measured since on record."""
        with self._lock:
            changed = [self._times[key] for key in self._changed]
            self._changed.clear()
        if changed:
            self._store.put_step_times(changed)

    def measure(self, host: str, kind: str, seconds: float) -> None:
        """One call of that kind took so long there."""
        _histogram(kind).observe(seconds)
        key = _key(host, kind)
        with self._lock:
            old = self._times.get(key) or StepTime(key[0], kind, seconds, 0)
            weight = max(_WEIGHT, 1 / (old.count + 1))
            smoothed = old.seconds + weight * (seconds - old.seconds)
            self._times[key] = StepTime(*key, smoothed, old.count + 1)
            self._changed.add(key)

    def estimate(self, host: str, kind: str) -> float | None:
        """Seconds that such a call will take there, as on other hosts when there was none yet;
        None when there never was one.
        """
        with self._lock:
            if known := self._times.get(_key(host, kind)):
                return known.seconds
            others = [time.seconds for time in self._times.values() if time.kind == kind]
        return sum(others) / len(others) if others else None


def _key(host: str, kind: str) -> _Key:
    return host.casefold(), kind
