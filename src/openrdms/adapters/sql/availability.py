"""Whether the database answers: all are told at once, and one thread looks for its return."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from openrdms.model import errors

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two attempts, each twice as long as the last; half to all of it is waited."""

AWAY = "records: the database does not answer; try again"

_log = logging.getLogger(__name__)


class Availability:
    """It is there until somebody has lost it; nobody waits for it in vain meanwhile."""

    def __init__(self, probe: Callable[[float], None], forget: Callable[[], None]) -> None:
        """``probe``, told for how many seconds it has been away, returns when the database answers
        and raises RecordsUnavailable otherwise;
        ``forget`` lets go of what is connected to it, before anybody connects anew.
        """
        self.event = threading.Event()
        """Set while it is there."""
        self.event.set()
        self._probe = probe
        self._forget = forget
        self._changing = threading.Lock()
        self._closed = threading.Event()

    def check(self) -> None:
        """RecordsUnavailable while it is away."""
        if not self.event.is_set():
            raise errors.RecordsUnavailable(AWAY)

    def lose(self, words: str) -> None:
        """Somebody found it away: ``words`` are the driver's."""
        with self._changing:
            if not self.event.is_set() or self._closed.is_set():
                return
            self.event.clear()
            self._forget()
        _log.warning("the database is away: %s", words.strip())
        threading.Thread(target=self._look, name="records-probe", daemon=True).start()

    def close(self) -> None:
        """Look for it no longer."""
        self._closed.set()

    def _look(self) -> None:
        pause, lost = _FIRST_PAUSE, time.monotonic()
        while not self._closed.is_set():
            try:
                self._probe(time.monotonic() - lost)
            except errors.RecordsUnavailable:
                self._closed.wait(pause * random.uniform(0.5, 1))  # noqa: S311  no secret
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                _log.warning("the database is back")
                self.event.set()
                return
