"""What desktops of running jobs wait for, at this moment: in memory, for who asks why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from openrdms.model.reason import Wait

Line = Callable[[], Sequence[tuple[int, Wait]]]
"""Those that have not begun, by ordinal, worked out when somebody asks."""


class Waits:
    """By GUID of the job and ordinal of its desktop. Safe from any thread."""

    def __init__(self) -> None:
        self._waits: dict[str, dict[int, Wait]] = {}
        self._lines: dict[str, list[Line]] = {}

    def set(self, job: str, ordinal: int, wait: Wait) -> None:
        """From now on it waits for this, and nothing else."""
        self._waits.setdefault(job, {})[ordinal] = wait

    def clear(self, job: str, ordinal: int) -> None:
        """It waits no more."""
        self._waits.get(job, {}).pop(ordinal, None)

    @contextmanager
    def during(self, job: str, ordinal: int, wait: Wait) -> Iterator[None]:
        """It waits for this as long as the block takes."""
        self.set(job, ordinal, wait)
        try:
            yield
        finally:
            self.clear(job, ordinal)

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
        return found | dict(self._waits.get(job, {}))
