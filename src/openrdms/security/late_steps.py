"""Codes of devices that were taken while the records were away: each once here, and noted there
when they are back, so that none of them is taken again.
"""

from __future__ import annotations

import threading

import structlog

from openrdms import ports

_log = structlog.get_logger(__name__)


class LateSteps:
    """Safe from any thread."""

    def __init__(self, store: ports.SecondFactorStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._newest: dict[str, int] = {}
        """The last step of each account that was taken here."""
        self._unwritten: dict[str, list[int]] = {}

    def note(self, account: str, step: int) -> None:
        """It was taken, and is on record."""
        with self._lock:
            self._newest[account.casefold()] = max(step, self._newest.get(account.casefold(), step))

    def take(self, account: str, step: int, last: int) -> bool:
        """Take a code, if its step is after ``last`` and all that were taken here."""
        key = account.casefold()
        with self._lock:
            if step <= max(last, self._newest.get(key, last)):
                return False
            self._newest[key] = step
            self._unwritten.setdefault(key, []).append(step)
            return True

    def write(self, account: str | None = None) -> None:
        """Note what was taken, of all or of one account. RecordsUnavailable."""
        keys = [*self._unwritten] if account is None else [account.casefold()]
        for key in keys:
            while self._unwritten.get(key):
                self._write_first(key)

    def _write_first(self, key: str) -> None:
        with self._writing:  # or a second thread would find it taken
            steps = self._unwritten.get(key)
            if not steps:
                return
            if not self._store.use_time_step(key, steps[0]):
                _log.warning("a code was taken at another service, too", account=key)
            with self._lock:
                del steps[0]
                if not steps:
                    del self._unwritten[key]
