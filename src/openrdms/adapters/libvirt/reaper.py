"""Reaps QEMU processes at once when they end, and has them give way to the service while they run.

libvirt's embedded driver starts QEMU as a daemon and, to stop it, kills it and waits until its
pid has vanished. Under a slow process 1 that takes 2 s; as the subreaper of our descendants
(PR_SET_CHILD_SUBREAPER, prctl(2)) we inherit QEMU and collect it ourselves in 0.2 s. A QEMU
started by an earlier run of the service is process 1's child, and we can do nothing for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

from openrdms.adapters.libvirt.priority import give_way

_PR_SET_CHILD_SUBREAPER = 36
_COMM_LENGTH = 15
"""The kernel cuts a process's name there (proc(5), comm)."""

_LOOK_SECONDS = 0.05


@functools.cache
def reaper_of(program: str) -> Reaper:
    """The one reaper of daemons called ``program`` in this process."""
    return Reaper(program)


class Reaper:
    """Waits for daemons called ``program`` (those in a session of their own), and nothing else.

    So children that another part of this process started and waits for are left alone. New ones
    are looked for only while a call is ``attended`` that may start some: libvirt also starts and
    stops QEMU within a call, to ask it what it can do or because it failed.
    """

    def __init__(self, program: str) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._program = program[:_COMM_LENGTH]
        self._calls = 0
        self._counting = threading.Lock()
        self._wake = os.eventfd(0)
        self._pids: dict[int, int] = {}
        """pidfd to pid of all that is waited for; the reaper's thread alone uses it."""
        self._pushing: set[int] = set()
        """Those that do not give way yet."""
        self._poll = select.epoll()
        self._poll.register(self._wake, select.EPOLLIN)
        threading.Thread(target=self._reap, name="reaper", daemon=True).start()

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """Around a call in which daemons may be started."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self._calls += change
            first = change > 0 and self._calls == 1
        if first:
            os.eventfd_write(self._wake, 1)

    def _reap(self) -> None:
        """Look as long as calls go on, and once more after the last."""
        looking = False
        while True:
            calls = self._calls > 0
            hurries = calls or looking or self._pushing
            for handle, _ in self._poll.poll(_LOOK_SECONDS if hurries else None):
                if handle == self._wake:
                    os.eventfd_read(handle)
                else:
                    self._collect(handle)
            self._find_new()
            self._pushing = {pid for pid in self._pushing if not give_way(pid)}
            looking = calls

    def _collect(self, handle: int) -> None:
        self._poll.unregister(handle)
        os.close(handle)
        pid = self._pids.pop(handle)
        self._pushing.discard(pid)
        os.waitpid(pid, 0)

    def _find_new(self) -> None:
        watched = set(self._pids.values())
        for pid in _children():
            if pid not in watched and _is_daemon(pid, self._program):
                handle = os.pidfd_open(pid)
                self._pids[handle] = pid
                self._pushing.add(pid)
                self._poll.register(handle, select.EPOLLIN)


def _children() -> Iterator[int]:
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread ended; its children moved to another
            yield from map(int, listing.read_text().split())


def _is_daemon(pid: int, name: str) -> bool:
    """Also one that was killed before it had become that program, and has our name still. What is
    first in its session libvirt, or who else started it, waits for.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    found, _, rest = stat.partition("(")[2].rpartition(")")
    state, _, _, session = rest.split()[:4]
    if state == "Z" and found == Path("/proc/self/comm").read_text().removesuffix("\n"):
        return int(session) not in (os.getsid(0), pid)
    return found == name and int(session) != os.getsid(0)
