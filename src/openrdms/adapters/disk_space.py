"""Room on disk, asked for before it is used."""

from __future__ import annotations

import shutil
from pathlib import Path

from openrdms.model.errors import OutOfSpace


def require(directory: Path, needed: int) -> None:
    """Raise OutOfSpace when the file system of ``directory`` has fewer than ``needed`` bytes."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise OutOfSpace(f"{directory} has {free} bytes free, {needed} are needed")
