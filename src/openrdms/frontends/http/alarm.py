"""Wakes a thread when something takes too long, and costs next to nothing when it does not.

A timerfd (timerfd_create(2)), which Python itself has from 3.13 on. It is set without giving the
interpreter away: to get it back takes longer than setting it.
"""

from __future__ import annotations

import ctypes
import os
import select
import time
from contextlib import suppress

_libc = ctypes.PyDLL(None, use_errno=True)
_NANOSECONDS = 1_000_000_000


class Alarm:
    """Goes off some seconds after it was last set."""

    def __init__(self, seconds: float) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK and TFD_CLOEXEC are the same
        self._file = _libc.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        value = divmod(round(seconds * _NANOSECONDS), _NANOSECONDS)
        self._once = (ctypes.c_long * 4)(0, 0, *value)  # itimerspec: the interval, the value
        self._gone_off = select.poll()
        self._gone_off.register(self._file, select.POLLIN)

    def set(self) -> None:
        """From now on, and not as it was set before."""
        _libc.timerfd_settime(self._file, 0, self._once, None)

    def wait(self) -> None:
        """Until it goes off. By one thread only."""
        while True:
            self._gone_off.poll()
            with suppress(BlockingIOError):  # it has been set again since
                os.read(self._file, 8)
                return

    def close(self) -> None:
        """Nobody may set it or wait any more."""
        os.close(self._file)
