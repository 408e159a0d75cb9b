"""Concurrency factors of hosts: how many desktops of each may be under way at a time."""

from __future__ import annotations

import time
from contextlib import suppress

from openrdms import ports
from openrdms.model import errors

UNSET = 100
"""What a host has when nobody has set it."""

_KNOWN_FOR = 1.0
"""Seconds after which what was set is looked up again: it is asked for at every call."""


class ConcurrencyFactors:
    """By name of the host, 1 to 100. Safe from any thread."""

    def __init__(self, store: ports.Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, int]] = {}

    def __call__(self, host: str) -> int:
        """The factor as it is set now, or was a second ago."""
        now = time.monotonic()
        until, factor = self._known.get(host, (0.0, UNSET))
        if now >= until:
            # calls that end must not fail by that
            with suppress(errors.OperationFailed, errors.RecordsUnavailable):
                factor = self._store.find_host_settings(host).concurrency or UNSET
            self._known[host] = (now + _KNOWN_FOR, factor)
        return factor
