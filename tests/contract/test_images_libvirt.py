"""A libvirt host with a cache of its own takes images as every host does, and more."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.host_suite import make_spec
from contract.image_suite import ImageSuite, always, ignore
from openrdms.adapters.libvirt.gold import Gold
from openrdms.adapters.libvirt.host import LibvirtHost, connect
from openrdms.model.errors import InvalidOperation, OperationFailed
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.runtime_dir import make_runtime_dir

DISK_BYTES = (20 << 20) + 17


class TestLibvirtImages(ImageSuite):
    """On libvirt's own test driver: no VM is needed for it."""

    @pytest.fixture
    def host(self, tmp_path: Path) -> Iterator[LibvirtHost]:
        state_dir = tmp_path / "state"
        state_dir.mkdir(mode=0o711)
        uri = f"test:///default?name=host&accel=qemu&gold={tmp_path}/gold"
        host = connect(uri, state_dir, make_runtime_dir(state_dir))
        yield host
        host.close()

    @pytest.fixture
    def image(self, tmp_path: Path) -> ImageVersion:
        files = {}
        for name, size in (("disk.qcow2", DISK_BYTES), ("vmlinuz", 1000), ("initrd", 2000)):
            files[name] = tmp_path / "library" / name
            files[name].parent.mkdir(exist_ok=True)
            files[name].write_bytes(os.urandom(size))
        return ImageVersion(
            name="gold",
            version=1,
            disk=files["disk.qcow2"],
            virtual_bytes=1 << 30,
            sha256=hashlib.sha256(files["disk.qcow2"].read_bytes()).hexdigest(),
            os=GuestOs.LINUX,
            firmware=Firmware.KERNEL,
            memory_mib=256,
            vcpus=1,
            disk_bus=DiskBus.VIRTIO,
            created=datetime.now(UTC),
            kernel=files["vmlinuz"],
            initrd=files["initrd"],
        )

    @pytest.fixture
    def corrupt(self) -> Callable[[ImageVersion], ImageVersion]:
        return lambda image: replace(image, sha256="0" * 64)

    def test_disk_refers_to_the_copy_alone(
        self, host: LibvirtHost, image: ImageVersion, tmp_path: Path
    ) -> None:
        spec = make_spec(image, "desk")
        host.copy_image(image, always, ignore)
        host.create_disk(spec)
        header = (tmp_path / "state" / "desktops" / "desk.1.qcow2").read_bytes()
        assert f"{tmp_path}/gold/gold/1/disk.qcow2".encode() in header
        assert str(tmp_path / "library").encode() not in header
        for name in ("disk.qcow2", "vmlinuz", "initrd"):
            copy = tmp_path / "gold" / "gold" / "1" / name
            assert copy.read_bytes() == (tmp_path / "library" / name).read_bytes()
            assert copy.stat().st_mode & 0o777 == 0o644

    def test_damaged_part_is_gone_on_with_from_where_it_is_right(
        self, host: LibvirtHost, image: ImageVersion, tmp_path: Path
    ) -> None:
        shares: list[float] = []
        with pytest.raises(InvalidOperation):
            host.copy_image(image, lambda: len(shares) < 8, shares.append)
        (part,) = (tmp_path / "gold" / "gold" / "1").glob("*.part")
        with part.open("r+b") as file:
            file.seek(5 << 20)
            file.write(b"damage")
        again: list[float] = []
        host.copy_image(image, always, again.append)
        assert host.has_image(image)
        assert 0 < again[0] < shares[-1]

    def test_kernel_and_initrd_are_checked_too(
        self, host: LibvirtHost, image: ImageVersion
    ) -> None:
        wrong = "0" * 64
        for changed in (replace(image, kernel_sha256=wrong), replace(image, initrd_sha256=wrong)):
            with pytest.raises(OperationFailed, match="checksum"):
                host.copy_image(changed, always, ignore)
            assert not host.has_image(image)
            host.drop_image(image)
        host.copy_image(image, always, ignore)

    def test_a_link_in_the_way_is_not_followed(
        self, host: LibvirtHost, image: ImageVersion, tmp_path: Path
    ) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        place = tmp_path / "gold" / image.name / "1"
        place.mkdir(parents=True)
        (place / "vmlinuz.part").symlink_to(victim)
        with pytest.raises(OperationFailed, match="link"):
            host.copy_image(image, always, ignore)
        assert victim.read_text() == "precious"

    def test_image_without_a_cache_is_seen_in_the_library(
        self, image: ImageVersion, tmp_path: Path
    ) -> None:
        state_dir = tmp_path / "other"
        state_dir.mkdir(mode=0o711)
        host = connect("test:///default?accel=qemu", state_dir, make_runtime_dir(state_dir))
        shares: list[float] = []
        assert host.has_image(image)
        host.copy_image(image, always, shares.append)
        host.drop_image(image)
        assert (shares, host.has_image(image), image.disk.exists()) == ([1.0], True, True)
        host.close()

    def test_copy_keeps_to_its_rate_and_ends_soon(
        self, image: ImageVersion, tmp_path: Path
    ) -> None:
        gold = Gold(tmp_path / "slow", rate=40 << 20)
        begun = time.monotonic()
        gold.copy(image, always, ignore)
        assert time.monotonic() - begun > 0.4
        crawling = Gold(tmp_path / "crawling", rate=1 << 20)
        begun = time.monotonic()
        with pytest.raises(InvalidOperation):
            crawling.copy(image, lambda: time.monotonic() < begun + 0.2, ignore)
        assert time.monotonic() - begun < 10

    def test_a_file_that_goes_while_the_room_is_counted_counts_nothing(
        self, image: ImageVersion, tmp_path: Path
    ) -> None:
        place = tmp_path / "gold" / "gold" / "1"
        place.mkdir(parents=True)
        (place / "other.part").symlink_to("what another host has renamed")
        Gold(tmp_path / "gold", None).copy(image, always, ignore)
        assert (place / "disk.qcow2").exists()

    def test_hosts_that_share_a_directory_copy_it_once(
        self, image: ImageVersion, tmp_path: Path
    ) -> None:
        shares: list[float] = []

        def copy(_: int) -> None:
            Gold(tmp_path / "gold", None).copy(image, always, shares.append)

        with ThreadPoolExecutor(4) as executor:
            list(executor.map(copy, range(4)))
        place = tmp_path / "gold" / "gold" / "1"
        assert sorted(file.name for file in place.iterdir()) == ["disk.qcow2", "initrd", "vmlinuz"]
        assert (place / "disk.qcow2").read_bytes() == image.disk.read_bytes()
