"""What was done on hosts, told by libvirt and by the kernel while it is done: past the product."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from live.namespaces import Machine

_IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x80, 0x100, 0x200
_EVENT = struct.Struct("iIII")
"""inotify(7): watch, mask, cookie, bytes of the name that follows."""

_LIFECYCLE = re.compile(r"event 'lifecycle' for domain '(?P<vm>.+)': (?P<what>.+)")
_DONE = {"Defined Added", "Started Booted", "Stopped Destroyed", "Undefined Removed"}
"""What changes a VM for good. Its definition may be said again, and Defined Updated is that."""


class Witness:
    """Of one machine and the directory of its disks, from now on."""

    def __init__(self, machine: Machine, disks: Path, log: Path) -> None:
        self._log = log
        self._watch = _watch(disks)
        with log.open("wb") as output:
            self._virsh = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "stdbuf", "-oL"),
                    *("virsh", "-q", "-c", machine.unix, "event", "--event", "lifecycle", "--loop"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._files = Counter[str]()

    def count(self) -> Counter[str]:
        """How often what was done, for example ``Started Booted p1-1`` or ``made p1-1.0.qcow2``."""
        assert self._virsh.poll() is None, self._log.read_text()
        self._files.update(_read(self._watch))
        seen = _LIFECYCLE.finditer(self._log.read_text())
        return self._files + Counter(
            f"{one['what']} {one['vm']}" for one in seen if one["what"] in _DONE
        )

    def close(self) -> None:
        """It looks no more."""
        self._virsh.kill()
        self._virsh.wait()
        os.close(self._watch)


def _watch(directory: Path) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    watch = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    mask = _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
    if watch < 0 or libc.inotify_add_watch(watch, os.fsencode(directory), mask) < 0:
        raise OSError(ctypes.get_errno(), f"cannot watch {directory}")
    return watch


def _read(watch: int) -> Iterator[str]:
    """Of disks with their final names alone."""
    while True:
        try:
            events = os.read(watch, 1 << 16)
        except BlockingIOError:
            return
        while events:
            _, mask, _, size = _EVENT.unpack_from(events)
            name = events[_EVENT.size : _EVENT.size + size].rstrip(b"\0").decode()
            events = events[_EVENT.size + size :]
            if name.endswith(".qcow2"):
                yield f"{'removed' if mask & _IN_DELETE else 'made'} {name}"
