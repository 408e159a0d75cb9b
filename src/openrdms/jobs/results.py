"""What threads have come to, brought to an event loop many at a time."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Results(Generic[T]):
    """The loop is not woken for each of them. Made on the loop, where one may take."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._there = asyncio.Event()
        self._lock = threading.Lock()
        self._enough = 1
        self._results: list[T] = []

    def put(self, result: T) -> None:
        """From any thread. Nobody is told when the loop has ended."""
        with self._lock:
            self._results.append(result)
            enough = len(self._results) == self._enough
        if enough:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._there.set)

    async def take(self, enough: int, seconds: float) -> list[T]:
        """All there are, in their order: so many, or as many as come in these ``seconds``, and in
        any case one.
        """
        while not self._results:
            await self._until(1)
        end = self._loop.time() + seconds
        while len(self._results) < enough and self._loop.time() < end:
            timer = self._loop.call_at(end, self._there.set)
            await self._until(enough)
            timer.cancel()
        with self._lock:
            results, self._results, self._enough = self._results, [], 1
        return results

    async def _until(self, enough: int) -> None:
        self._there.clear()
        with self._lock:
            self._enough = enough
            if len(self._results) >= enough:
                return
        await self._there.wait()
