"""Built images, kept by recipe hash in ~/.cache/openrdms so that each is built once.

An entry appears whole, by rename; its files are never written again and are handed out as hard
links, or as copies where the file system differs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openrdms.adapters import disk_space
from openrdms.adapters.images import checksum
from openrdms.adapters.images.progress import Report

_SUM = "sha256"


def directory() -> Path:
    """~/.cache/openrdms, or where XDG_CACHE_HOME says."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "openrdms"


def fetch(name: str, disk: str, target: Path, make: Callable[[Path], None], report: Report) -> str:
    """Put the entry ``name`` into ``target``, made by ``make`` when absent or damaged.

    ``disk`` is the file whose SHA-256, returned in hex, is recorded and checked.
    """
    root = directory()
    root.mkdir(parents=True, exist_ok=True)
    entry = root / name
    with _locked(root / f"{name}.lock", report):
        if not _is_sound(entry, disk):
            shutil.rmtree(entry, ignore_errors=True)
            _fill(entry, disk, make)
        for path in entry.iterdir():
            if path.name != _SUM:
                _hand_out(path, target / path.name)
        return (entry / _SUM).read_text()


def _is_sound(entry: Path, disk: str) -> bool:
    recorded = entry / _SUM
    return recorded.exists() and recorded.read_text() == checksum.sha256(entry / disk)


def _fill(entry: Path, disk: str, make: Callable[[Path], None]) -> None:
    fresh = entry.with_name(f"{entry.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    make(fresh)
    (fresh / _SUM).write_text(checksum.sha256(fresh / disk))
    for path in fresh.iterdir():
        path.chmod(0o444)
        with path.open("rb") as file:
            os.fsync(file)
    fresh.rename(entry)


def _hand_out(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:  # another file system, or one without hard links
        disk_space.require(target.parent, path.stat().st_size)
        shutil.copyfile(path, target)
        target.chmod(0o444)


@contextmanager
def _locked(path: Path, report: Report) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(0.0, "waiting for another build of this image")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
