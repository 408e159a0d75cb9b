"""Time as the simulator sees it, and who is calling: both are handed in, so tests decide them."""

from __future__ import annotations

import os
import select
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
    return Callers(token_of(os.getpid()), _Lives().goes_on)


class _Lives:
    """Each process is looked up once; from then on the kernel tells when it ends (pidfd_open(2)).

    With several services at work every transaction asks for all of them.
    """

    def __init__(self) -> None:
        self._ends: dict[str, tuple[int, select.poll]] = {}

    def goes_on(self, token: str) -> bool:
        """Whether the process with that token lives. Called by one thread at a time."""
        if token not in self._ends and not self._find(token):
            return False
        fileno, end = self._ends[token]
        if not end.poll(0):
            return True
        del self._ends[token]
        os.close(fileno)
        return False

    def _find(self, token: str) -> bool:
        pid = int(token.split("@")[0])
        try:
            fileno = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        if token_of(pid) != token:  # another one has its number
            os.close(fileno)
            return False
        end = select.poll()
        end.register(fileno, select.POLLIN)
        self._ends[token] = (fileno, end)
        return True


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
