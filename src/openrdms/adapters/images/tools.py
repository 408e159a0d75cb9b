"""``ports.ImageTools`` with Debian's own tools."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from openrdms.adapters.images import build, cache, contents
from openrdms.adapters.images.convert import convert
from openrdms.adapters.images.recipe import load_recipe
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.model.image_difference import ImageDifference

_MIB = 1 << 20


class DebianImageTools:
    """Builds Linux images from Debian packages and imports disks of any origin."""

    def build(
        self,
        variant: str,
        target: Path,
        progress: Callable[[float, str], None],
        *,
        autologin: bool = True,
    ) -> ImageVersion:
        """See ports.ImageTools. Built once per recipe and account (``cache``)."""
        recipe = load_recipe(variant, autologin=autologin)

        def make(place: Path) -> None:
            build.build(recipe, place, progress)

        name = f"{recipe.variant}-{recipe.digest}"
        checksum = cache.fetch(name, build.DISK, target, make, progress)
        progress(1.0, "built")
        return ImageVersion(
            name="",
            version=0,
            disk=target / build.DISK,
            virtual_bytes=recipe.disk_mib * _MIB,
            sha256=checksum,
            os=GuestOs.LINUX,
            firmware=Firmware.KERNEL,
            memory_mib=recipe.memory_mib,
            vcpus=recipe.vcpus,
            disk_bus=DiskBus.VIRTIO,
            created=datetime.now(UTC),
            source=f"build {variant}" + ("" if autologin else " without autologin"),
            kernel=target / build.KERNEL,
            initrd=target / build.INITRD,
            cmdline=recipe.cmdline,
        )

    def import_disk(
        self, source: Path, target: Path, progress: Callable[[float, str], None]
    ) -> tuple[Path, int]:
        """See ports.ImageTools."""
        disk = target / build.DISK
        return disk, convert(source, disk, progress)

    def compare_disks(
        self, before: Path, after: Path, progress: Callable[[float, str], None]
    ) -> ImageDifference:
        """See ports.ImageTools: disks with ext4."""
        return contents.compare_disks(before, after, progress)
