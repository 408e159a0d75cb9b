"""Image versions: numbered, immutable, found by what a BaseVmLocation says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from openrdms.model.errors import InvalidParameter, NotFound
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.services.alone import Alone
from openrdms.services.images import ImageOptions, Images

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EXPORT = "\\\\files\\exports\\gold"
JOB = "{00000000-0000-0000-0000-000000000001}"


@dataclass
class FakeStore:
    images: list[ImageVersion] = field(default_factory=list)
    jobs: dict[str, ImageVersion] = field(default_factory=dict)

    def list_images(self, *, settled: bool = False) -> list[ImageVersion]:
        return list(self.images)

    def find_image(
        self, name: str, version: int | None = None, *, settled: bool = False
    ) -> ImageVersion | None:
        found = [i for i in self.images if i.name.casefold() == name.casefold()]
        return next((i for i in reversed(found) if version in (None, i.version)), None)

    def next_image_version(self, name: str) -> int:
        newest = self.find_image(name)
        return newest.version + 1 if newest else 1

    def add_image(self, image: ImageVersion, *, job: str | None = None) -> ImageVersion:
        if job in self.jobs:
            return self.jobs[job]
        newest = self.find_image(image.name)
        numbered = replace(image, version=newest.version + 1 if newest else 1)
        self.images.append(numbered)
        if job:
            self.jobs[job] = numbered
        return numbered


class FakeTools:
    def build(
        self,
        variant: str,
        target: Path,
        progress: Callable[[float, str], None],
        *,
        autologin: bool = True,
    ) -> ImageVersion:
        progress(1.0, "built")
        for name in ("disk.qcow2", "vmlinuz", "initrd"):
            (target / name).write_text(f"{variant} {name}")
        if variant == "broken":
            raise RuntimeError
        linux, kernel, bus = GuestOs.LINUX, Firmware.KERNEL, DiskBus.VIRTIO
        disk = target / "disk.qcow2"
        return ImageVersion(
            "", 0, disk, 1 << 30, "", linux, kernel, 384, 2, bus, NOW,
            source=f"build {variant}", kernel=target / "vmlinuz", initrd=target / "initrd",
            cmdline="root=/dev/vda",
        )  # fmt: skip

    def import_disk(
        self, source: Path, target: Path, progress: Callable[[float, str], None]
    ) -> tuple[Path, int]:
        disk = target / "disk.qcow2"
        disk.write_bytes(source.read_bytes())
        return disk, 1 << 20


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def images(store: FakeStore, directory: Path) -> Images:
    return Images(store, FakeTools(), directory, lambda: NOW)


@pytest.fixture
def prepared(tmp_path: Path, images: Images) -> ImageVersion:
    """A PrepJob's finished disk, of a desktop made from tiny@1."""
    parent = images.build("tiny", "tiny")
    disk = tmp_path / "copy.qcow2"
    disk.write_text("generalised")
    return replace(
        parent, name="gold", disk=disk, sha256="", parent=parent.reference, source="prep host1/desk"
    )


def test_versions_are_numbered_and_read_only(images: Images, directory: Path) -> None:
    first, second = images.build("Tiny", "tiny"), images.build("tiny", "tiny")
    assert (first.reference, second.reference) == ("Tiny@1", "Tiny@2")
    assert first.disk == directory / "Tiny" / "1" / "disk.qcow2"
    assert second.kernel == directory / "Tiny" / "2" / "vmlinuz"
    assert {len(first.sha256), len(first.kernel_sha256), len(first.initrd_sha256)} == {64}
    assert not any(path.stat().st_mode & 0o222 for path in second.disk.parent.iterdir())


def test_options_change_what_the_version_says(images: Images) -> None:
    built = images.build("tiny", "tiny", ImageOptions(memory_mib=512, disk_bus=DiskBus.SATA))
    assert (built.memory_mib, built.vcpus, built.disk_bus) == (512, 2, DiskBus.SATA)


def test_imported_windows_disk(images: Images, tmp_path: Path) -> None:
    disk = tmp_path / "win.vhdx"
    disk.write_text("windows")
    options = ImageOptions(os=GuestOs.WINDOWS, firmware=Firmware.UEFI)
    image = images.import_file("win", disk, options)
    assert (image.os, image.firmware, image.disk_bus) == ("windows", "uefi", DiskBus.SATA)
    assert image.virtual_bytes == 1 << 20


def test_kernel_boot_is_not_for_imported_disks(images: Images, tmp_path: Path) -> None:
    (tmp_path / "d.raw").write_text("x")
    with pytest.raises(InvalidParameter, match="firmware"):
        images.import_file("d", tmp_path / "d.raw", ImageOptions(firmware=Firmware.KERNEL))
    assert images.list() == []


@pytest.mark.parametrize("name", ["", "a/b", "..", "a@1", "a b", "x" * 64])
def test_names_that_are_no_names(images: Images, name: str) -> None:
    with pytest.raises(InvalidParameter, match="name"):
        images.build(name, "tiny")


def test_failed_build_leaves_nothing(images: Images, directory: Path) -> None:
    with pytest.raises(RuntimeError):
        images.build("x", "broken")
    assert list(directory.iterdir()) == []


def test_what_an_interrupted_build_left_goes_at_the_next_start(
    store: FakeStore, directory: Path
) -> None:
    left = directory / ".new-0123"
    left.mkdir(parents=True)
    (left / "disk.qcow2").write_text("half")
    (directory / "tiny" / "1").mkdir(parents=True)  # moved, but never recorded
    (directory / "tiny" / "1" / "disk.qcow2").write_text("unrecorded")
    built = Images(store, FakeTools(), directory, lambda: NOW).build("tiny", "tiny")
    assert not left.exists()
    assert built.disk.read_text() == "tiny disk.qcow2"


def test_versions_on_record_stay_at_a_start_even_when_moved(
    store: FakeStore, images: Images, directory: Path
) -> None:
    built, dropped = images.build("tiny", "tiny"), images.build("tiny", "tiny")
    store.images.remove(dropped)
    Images(store, FakeTools(), directory, lambda: NOW)
    assert [home.name for home in directory.glob("*/*")] == ["1"]
    moved = directory.rename(directory.with_name("moved"))
    Images(store, FakeTools(), moved, lambda: NOW)
    assert (moved / "tiny" / "1" / built.disk.name).exists()


def test_a_version_that_another_service_has_recorded_meanwhile_keeps_its_files(
    store: FakeStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one stood still between the number and the place, and was not fenced yet."""
    other = Images(store, FakeTools(), directory, lambda: NOW)
    mine = Images(store, FakeTools(), directory, lambda: NOW)
    next_version, theirs = store.next_image_version, []

    def stand_still(name: str) -> int:
        number = next_version(name)
        monkeypatch.undo()
        theirs.append(other.build("tiny", "theirs"))
        return number

    monkeypatch.setattr(store, "next_image_version", stand_still)
    built = mine.build("tiny", "mine")
    assert [image.reference for image in (*theirs, built)] == ["tiny@1", "tiny@2"]
    assert theirs[0].disk.read_text() == "theirs disk.qcow2"
    assert built.disk.read_text() == "mine disk.qcow2"
    Images(store, FakeTools(), directory, lambda: NOW)
    assert built.disk.exists()
    mine.erase(built)
    assert [home.name for home in directory.glob("*/*")] == ["1"]


def test_who_is_fenced_gives_no_version_a_place(store: FakeStore, directory: Path) -> None:
    images = Images(store, FakeTools(), directory, lambda: NOW, Fenced())
    with pytest.raises(SystemExit):
        images.build("tiny", "tiny")
    assert store.images == []
    assert list(directory.iterdir()) == []


class Fenced(Alone):
    def check(self, job: str = "") -> None:
        raise SystemExit


def test_a_place_that_nobody_recorded_is_not_taken_and_goes_at_the_next_start(
    store: FakeStore, images: Images, directory: Path
) -> None:
    left = directory / "tiny" / "1"
    left.mkdir(parents=True)
    (left / "disk.qcow2").write_text("unrecorded")
    built = images.build("tiny", "tiny")
    assert built.disk.read_text() == "tiny disk.qcow2"
    assert images.resolve("image:tiny@1") == built
    Images(store, FakeTools(), directory, lambda: NOW)
    assert list(directory.glob("*/*")) == [built.disk.parent]


def test_what_prep_jobs_have_in_hand_beside_the_images_stays(
    images: Images, directory: Path
) -> None:
    copy = directory / ".prep" / "job" / "copy.qcow2"
    copy.parent.mkdir(parents=True)
    copy.touch()
    images.clear()
    assert copy.exists()


class Watched(FakeStore):
    """Says when a version has its place and is about to be recorded, and waits then."""

    def __init__(self) -> None:
        super().__init__()
        self.recording, self.go_on = threading.Event(), threading.Event()

    def add_image(self, image: ImageVersion, *, job: str | None = None) -> ImageVersion:
        self.recording.set()
        assert self.go_on.wait(60)
        return super().add_image(image, job=job)


def test_what_is_being_recorded_is_not_cleared(directory: Path) -> None:
    store = Watched()
    images = Images(store, FakeTools(), directory, lambda: NOW)
    with ThreadPoolExecutor(2) as threads:
        building = threads.submit(images.build, "tiny", "tiny")
        assert store.recording.wait(60)
        clearing = threads.submit(images.clear)
        assert not wait([clearing], timeout=0.2).done
        store.go_on.set()
        clearing.result(60)
        assert building.result(60).disk.exists()


def test_location_by_name_and_version(images: Images) -> None:
    first, second = images.build("tiny", "tiny"), images.build("tiny", "tiny")
    assert images.resolve("image:tiny") == second
    assert images.resolve("image:TINY@1") == first
    for location in ("image:other", "image:tiny@3"):
        with pytest.raises(NotFound, match="BaseVmLocation"):
            images.resolve(location)


def test_location_that_is_a_disk_file_is_imported_once_for_its_content(
    images: Images, tmp_path: Path
) -> None:
    disk, copy = tmp_path / "gold image.vhdx", tmp_path / "copy.vhdx"
    disk.write_text("content")
    copy.write_text("content")
    first = images.resolve(str(disk))
    assert first.name == "gold-image"
    assert images.resolve(str(disk)) == images.resolve(str(copy)) == first
    assert images.resolve(str(first.disk)) == first
    disk.write_text("changed")
    assert images.resolve(str(disk)).reference == "gold-image@2"


@pytest.mark.parametrize(
    "location", ["", "nothing", "/nowhere/disk.vhdx", "C:\\gold", "/" + 300 * "n"]
)
def test_location_that_means_nothing(images: Images, location: str) -> None:
    with pytest.raises(InvalidParameter, match="BaseVmLocation"):
        images.resolve(location)


def test_sealed_disk_is_found_by_its_export_location(
    images: Images, prepared: ImageVersion
) -> None:
    sealed = images.seal(prepared, location=EXPORT, job=JOB)
    assert (sealed.reference, sealed.parent) == ("gold@1", "tiny@1")
    assert sealed.disk.read_text() == "generalised"
    assert sealed.kernel is not None
    assert sealed.kernel.read_text() == "tiny vmlinuz"
    assert not prepared.disk.exists()
    assert images.resolve(EXPORT) == sealed


def test_sealing_again_after_an_interruption_gives_the_same_version(
    images: Images, prepared: ImageVersion, directory: Path
) -> None:
    sealed = images.seal(prepared, location=EXPORT, job=JOB)
    assert images.seal(prepared, location=EXPORT, job=JOB) == sealed
    prepared.disk.write_text("generalised")  # as if it had not been removed any more
    assert images.seal(prepared, location=EXPORT, job=JOB) == sealed
    assert [path.name for path in (directory / "gold").iterdir()] == ["1"]


def test_images_of_hosts_are_recorded_once(images: Images, tmp_path: Path) -> None:
    brought = replace(images.build("x", "tiny"), name="preset", disk=tmp_path / "p", sha256="ab")
    for _ in range(2):
        images.register([brought])
    assert [image.reference for image in images.list()] == ["x@1", "preset@1"]
