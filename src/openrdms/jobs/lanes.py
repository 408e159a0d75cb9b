"""Lanes: the only way from a workflow, which must not block, to a host, which does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Halted(Exception):
    """The job was told to begin nothing more before this call had begun."""

    begun = False
    """Set by who had begun something earlier, in a call before the one that was refused."""


class Lanes:
    """One lane per name: at most ``width(name)`` blocking calls at a time, in threads of its own.

    A slow host so holds up nobody but itself. Lanes belong to one event loop.
    """

    def __init__(self, width: Callable[[str], int]) -> None:
        self._width = width
        self._lanes: dict[str, tuple[asyncio.Semaphore, ThreadPoolExecutor]] = {}

    async def call(
        self,
        lane: str,
        halt: asyncio.Event | None,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run ``function`` in the lane. Raises Halted when ``halt`` is set before its turn comes.

        A call that has begun is never interrupted: threads cannot be, and its effect is on a host.
        """
        turn, threads = self._lane(lane)
        async with turn:
            if halt is not None and halt.is_set():
                raise Halted
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(threads, lambda: function(*args, **kwargs))

    def _lane(self, name: str) -> tuple[asyncio.Semaphore, ThreadPoolExecutor]:
        if name not in self._lanes:
            width = self._width(name)
            threads = ThreadPoolExecutor(width, thread_name_prefix=f"lane-{name}")
            self._lanes[name] = (asyncio.Semaphore(width), threads)
        return self._lanes[name]

    def close(self) -> None:
        """Let threads go once their calls return; waits for none."""
        for _, threads in self._lanes.values():
            threads.shutdown(wait=False, cancel_futures=True)
