"""A short way to a state directory: sockets' names are limited to 107 bytes (unix(7)).

The runtime directory is a symbolic link to the state directory, so every file stays there. Its
name is a hash of the state directory's path: definitions of VMs hold it, hence it must be the
same at every start.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path


def make_runtime_dir(state_dir: Path) -> Path:
    """The link to ``state_dir`` (which must exist), made or made right.

    PermissionError when the directory that holds such links belongs to somebody else or others
    may write to it.
    """
    target = state_dir.resolve(strict=True)
    parent = _parent()
    _forget_removed(parent)
    link = parent / hashlib.sha256(os.fsencode(target)).hexdigest()[:8]
    if not link.is_symlink() or link.readlink() != target:
        fresh = parent / f".{link.name}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    return link


def _forget_removed(parent: Path) -> None:
    """Remove links to state directories that are gone."""
    for link in parent.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)


def _parent() -> Path:
    """The directory of all links of this account, checked."""
    return _own_directory(*_place())


def _place() -> tuple[Path, int]:
    """That directory and its mode: the same in a login session, from cron and in a unit."""
    if os.geteuid() == 0:
        return Path("/run/openrdms"), 0o755  # QEMU's account passes through
    return Path(f"/tmp/openrdms-{os.geteuid()}"), 0o700  # noqa: S108 - checked


def _own_directory(directory: Path, mode: int) -> Path:
    directory.mkdir(mode=mode, exist_ok=True)
    found = directory.lstat()
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not mine or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{directory} is not a directory that only this account can write")
    return directory
