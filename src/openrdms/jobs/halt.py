"""What tells a job that nothing new may begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Halted(Exception):
    """The job was told to begin nothing more, and what was asked for is not done."""

    def __init__(self, *, begun: bool = False) -> None:
        super().__init__()
        self.begun = begun
        """Whether something was begun all the same, in this call or one before it."""


class Halt(asyncio.Event):
    """Set once and for good, on the job's event loop; any thread may look whether it is."""

    def __init__(self) -> None:
        super().__init__()
        self._listeners: dict[object, Callable[[], object]] = {}

    def set(self) -> None:
        """Wake all that wait, and tell all that listen; once."""
        if self.is_set():
            return
        super().set()
        for tell in list(self._listeners.values()):
            tell()

    @contextmanager
    def telling(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call ``listener`` on the loop if it is set meanwhile. It must be quick."""
        key = object()
        self._listeners[key] = listener
        try:
            yield
        finally:
            del self._listeners[key]
