"""Refusals that repeat: the first is written down, the others of that minute are counted.

A count is written when the minute is over and somebody writes or reads the log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from openrdms import ports

WINDOW = timedelta(minutes=1)
Subject = tuple[str, str, str]
"""Who, from where, what."""

OTHERS: Subject = ("", "", "refusals of others")


class Refusals:
    """Counts per subject. ``write`` takes one and its count, on any thread, with no lock held.

    Beyond ``most`` subjects in a minute what comes is counted together: so many records, and so
    many counts, are written at most.
    """

    def __init__(
        self, clock: ports.Clock, write: Callable[[Subject, int], None], most: int
    ) -> None:
        self._clock = clock
        self._write = write
        self._most = most
        self._lock = threading.Lock()
        self._open: dict[Subject, tuple[datetime, int]] = {}

    def note(self, subject: Subject) -> bool:
        """True when this one is to be written by the caller."""
        self.write_counts()
        with self._lock:
            if subject not in self._open and len(self._open) >= self._most:
                subject = OTHERS
            since, times = self._open.get(subject, (self._clock(), -1))
            self._open[subject] = (since, times + 1)
            return times < 0

    def write_counts(self) -> None:
        """Write how often what was counted for a minute has come again."""
        now = self._clock()
        with self._lock:
            over = {
                subject: times
                for subject, (since, times) in self._open.items()
                if not timedelta(0) <= now - since < WINDOW
            }
            for subject in over:
                del self._open[subject]
        for subject, times in over.items():
            if times:
                self._write(subject, times)
