"""A state directory is one process's at a time, and its files are nobody else's."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openrdms.model import errors

_LOCK_SECONDS = 2.0
"""How long a killed service's children may keep its lock: they close it when they execute."""


def own_file(database: Path) -> Path:
    """The file, which nobody else may read: QEMU's account can pass through its directory."""
    database.touch(mode=0o600)
    return database


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """Keep every other process out of a state directory, made at first.

    The kernel lets go of it with this process. InvalidOperation when another one has it.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state_dir / "lock").open("a+") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                lock.seek(0)
                raise errors.InvalidOperation(
                    f"{state_dir} is in use by process {lock.read() or '?'}"
                )
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def exchange_member(state_dir: Path, member: str) -> str:
    """Keep the id of this life of the service for the next one; returns that of the one before, ""
    for none. To be called by who holds the directory: that one has ended then.
    """
    file = state_dir / "member"
    before = file.read_text() if file.exists() else ""
    file.write_text(member)
    return before


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
