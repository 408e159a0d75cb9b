"""Golden images: immutable, numbered versions of a named disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class Firmware(StrEnum):
    """How a guest starts: firmware boot from disk, or a kernel handed to it directly."""

    BIOS = "bios"
    UEFI = "uefi"
    KERNEL = "kernel"


class DiskBus(StrEnum):
    """Bus of the system disk."""

    VIRTIO = "virtio"
    SATA = "sata"
    IDE = "ide"


class GuestOs(StrEnum):
    """Family of the guest operating system; decides how sessions and identity are handled."""

    LINUX = "linux"
    WINDOWS = "windows"


_MOST_SHOWN = 5


@dataclass(frozen=True)
class ImageVersion:
    """One immutable version of an image. Overlays reference it; its files never change.

    ``kernel``, ``initrd`` and ``cmdline`` are set only with ``Firmware.KERNEL``.
    ``virtual_bytes`` is the disk's size as the guest sees it. ``source`` says where it came
    from (``build tiny``, a file name, ``prep HOST/VM``). ``parent`` is NAME@VERSION or "".
    ``sha256`` is the disk's; those of kernel and initrd are "" for versions made before there were.
    """

    name: str
    version: int
    disk: Path
    virtual_bytes: int
    sha256: str
    os: GuestOs
    firmware: Firmware
    memory_mib: int
    vcpus: int
    disk_bus: DiskBus
    created: datetime
    parent: str = ""
    source: str = ""
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    generalised: bool = True
    kernel_sha256: str = ""
    initrd_sha256: str = ""

    @property
    def reference(self) -> str:
        """NAME@VERSION, the form jobs and metadata use."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class ImageUsers:
    """Who needs a version: GUIDs of running jobs, aliases of collections, names of desktops."""

    jobs: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    desktops: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.jobs or self.collections or self.desktops)

    def __str__(self) -> str:
        """All of them, but only the first of many desktops."""
        shown = ", ".join(self.desktops[:_MOST_SHOWN])
        more = len(self.desktops) - _MOST_SHOWN
        parts = (
            *(f"job {guid}" for guid in self.jobs),
            *(f"collection {alias}" for alias in self.collections),
            *([f"desktops {shown}" + (f" and {more} more" if more > 0 else "")] if shown else []),
        )
        return "; ".join(parts)
