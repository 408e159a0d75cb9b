"""Disk images: who makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from openrdms.model.image import ImageVersion
from openrdms.model.image_difference import ImageDifference


class ImageTools(Protocol):
    """Makes and reads disk images. Long calls report progress as (fraction, words)."""

    def build(
        self,
        variant: str,
        target: Path,
        progress: Callable[[float, str], None],
        *,
        autologin: bool = True,
    ) -> ImageVersion:
        """Build ``tiny`` or ``desktop`` into the directory ``target`` (name and version unset).

        With ``autologin`` alice is logged on as soon as it has booted: such a desktop is never a
        spare for somebody else.
        """

    def import_disk(
        self, source: Path, target: Path, progress: Callable[[float, str], None]
    ) -> tuple[Path, int]:
        """Convert qcow2, VHDX, VMDK or raw to qcow2 in ``target``; returns file, virtual bytes."""

    def compare_disks(
        self, before: Path, after: Path, progress: Callable[[float, str], None]
    ) -> ImageDifference:
        """What differs between the files and packages of two disks, neither of which is changed.

        NotSupported for disks of which it cannot be told, OutOfSpace, OperationFailed.
        """
