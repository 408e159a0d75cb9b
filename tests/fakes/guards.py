"""A guard that lets everybody in and remembers what it saw."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from openrdms.cim.guard import Operation
from openrdms.cim.provider import Caller, MethodResult


class OpenGuard:
    """``seen`` are the operations, in order; ``refusals`` the ReturnValues that were not 0."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Operation]] = []
        self.refusals: list[int] = []

    @contextmanager
    def watch(self, caller: Caller, operation: Operation) -> Iterator[OpenGuard]:
        self.seen.append((caller.name, operation))
        yield self

    def answered(self, result: MethodResult) -> None:
        if result.return_value:
            self.refusals.append(result.return_value)
