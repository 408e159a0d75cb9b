"""Records of jobs, for workflows: a database that is away is waited for, and nothing fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from openrdms.model import errors

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_PAUSE = 0.5
"""Seconds until it is asked again, half to all of it; the store itself looks for its return."""


async def with_records(function: Callable[[*Ts], R], *args: *Ts) -> R:
    """What ``function`` returns, called in a thread, again as long as records are away: whether
    it had done its work by then nobody knows, so it must be safe to repeat.
    """
    while True:
        try:
            return await asyncio.to_thread(function, *args)
        except errors.RecordsUnavailable:
            await pause()


async def pause() -> None:
    """Until records that were away may be asked again."""
    await asyncio.sleep(_PAUSE * random.uniform(0.5, 1))  # noqa: S311  no secret
