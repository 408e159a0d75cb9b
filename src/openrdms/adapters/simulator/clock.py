"""Time as the simulator sees it, and who is calling: both are handed in, so tests decide them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clock:
    """Wall time in seconds, because boots go on while no process of ours lives.

    ``rate`` is how many of its seconds pass in one of the machine's.
    """

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    rate: float = 1.0


def hurried(rate: float) -> Clock:
    """A clock that starts with the machine's and runs ``rate`` times as fast."""
    begun, monotonic = time.time(), time.monotonic()
    return Clock(
        now=lambda: begun + (time.monotonic() - monotonic) * rate,
        sleep=lambda seconds: time.sleep(seconds / rate),
        rate=rate,
    )


@dataclass(frozen=True)
class Callers:
    """Names the process that calls, and tells whether a named one still lives."""

    me: str
    alive: Callable[[str], bool]


def processes() -> Callers:
    """Callers as processes of this machine: pid and start time, so a reused pid is told apart."""
    return Callers(token_of(os.getpid()), lambda token: token_of(int(token.split("@")[0])) == token)


def token_of(pid: int) -> str:
    """``PID@START@BOOT``, or "" for a process that is dead, though perhaps not yet reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # proc(5): the name in parentheses may hold spaces; state is field 3, starttime field 22.
    fields = stat.rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "" if fields[0] in "ZX" else f"{pid}@{fields[19]}@{boot}"
