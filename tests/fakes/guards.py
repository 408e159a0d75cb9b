"""A guard that lets everybody in and remembers what it saw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from openrdms.cim.guard import Operation
from openrdms.cim.provider import Caller


class OpenGuard:
    """``seen`` are the operations, in order; ``refusals`` the ReturnValues that were not 0."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Operation]] = []
        self.refusals: list[int] = []

    @contextmanager
    def watch(self, caller: Caller, operation: Operation) -> Iterator[OpenGuard]:
        self.seen.append((caller.name, operation))
        yield self

    def refused(self, return_value: int, reason: str) -> None:
        self.refusals.append(return_value)
