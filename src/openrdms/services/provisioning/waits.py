"""What desktops of running jobs wait for, at this moment: in memory, for who asks why.

Positions and estimates are worked out when somebody asks: thousands of waits are begun and ended in
a moment, of which hardly any is ever seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from openrdms.model.reason import Wait

Tell = Callable[[], Wait | None]
"""What one waits for as it is now; None once its turn has come."""

Line = Callable[[], Sequence[tuple[int, Wait]]]
"""What those wait for that have not begun, by ordinal."""


class Waits:
    """By GUID of the job and ordinal of its desktop. Safe from any thread."""

    def __init__(self) -> None:
        self._waits: dict[str, dict[int, Tell]] = {}
        self._lines: dict[str, list[Line]] = {}

    @contextmanager
    def during(self, job: str, ordinal: int, tell: Tell) -> Iterator[None]:
        """It waits for this, and nothing else, as long as the block takes."""
        waits = self._waits.setdefault(job, {})
        waits[ordinal] = tell
        try:
            yield
        finally:
            waits.pop(ordinal, None)

    @contextmanager
    def line(self, job: str, line: Line) -> Iterator[None]:
        """Ask ``line`` too, as long as the block takes."""
        lines = self._lines.setdefault(job, [])
        lines.append(line)
        try:
            yield
        finally:
            lines.remove(line)

    def forget(self, job: str) -> None:
        """The job has ended."""
        self._waits.pop(job, None)
        self._lines.pop(job, None)

    def of_job(self, job: str) -> Mapping[int, Wait]:
        """What its desktops wait for now; those that wait for nothing are left out."""
        found = {
            ordinal: wait for line in tuple(self._lines.get(job, ())) for ordinal, wait in line()
        }
        waits = self._waits.get(job, {}).copy()
        told = ((ordinal, tell()) for ordinal, tell in waits.items())
        return found | {ordinal: wait for ordinal, wait in told if wait}
