from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from openrdms.adapters.libvirt import storage
from openrdms.adapters.libvirt.storage import Storage, copy_sparse
from openrdms.model.errors import InvalidParameter, OperationFailed, OutOfSpace
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion

SIZE = 64 << 20


@pytest.fixture
def spec(tmp_path: Path) -> VmSpec:
    disk = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, str(SIZE)], check=True)
    image = ImageVersion(
        name="tiny",
        version=1,
        disk=disk,
        virtual_bytes=SIZE,
        sha256="",
        os=GuestOs.LINUX,
        firmware=Firmware.BIOS,
        memory_mib=64,
        vcpus=1,
        disk_bus=DiskBus.VIRTIO,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    owner = Ownership("A", "{1}", "tiny@1")
    return VmSpec("desk-1", UUID(int=1), "", image, DiskKind.LINKED, 1, owner)


@pytest.fixture
def desktops(tmp_path: Path) -> Path:
    directory = tmp_path / "desktops"
    directory.mkdir()
    return directory


@pytest.fixture
def disks(desktops: Path) -> Storage:
    return Storage(desktops, account=None)


def list_names(desktops: Path) -> list[str]:
    """Of all files, whole and half made."""
    return sorted(path.name for path in desktops.rglob("*") if path.is_file())


def leave_part(desktops: Path, name: str) -> Path:
    part = desktops / ".parts" / name
    part.parent.mkdir(exist_ok=True)
    part.touch()
    return part


def check(disk: Path) -> str:
    return subprocess.run(
        ["qemu-img", "check", disk], check=True, capture_output=True, text=True
    ).stdout


def write_and_read(disk: Path) -> None:
    """QEMU writes where the level 1 table ends and finds it again."""
    for command in (f"write -P 7 {SIZE - 65536} 65536", f"read -P 7 {SIZE - 65536} 65536"):
        subprocess.run(["qemu-io", "-c", command, disk], check=True, capture_output=True)


@pytest.mark.parametrize("kind", list(DiskKind))
def test_disk_is_sound_and_writable(
    disks: Storage, spec: VmSpec, desktops: Path, kind: DiskKind
) -> None:
    disks.create_disk(replace(spec, disk_kind=kind))
    disk = desktops / "desk-1.1.qcow2"
    assert "No errors were found" in check(disk)
    write_and_read(disk)
    assert "No errors were found" in check(disk)
    assert disk.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", list(DiskKind))
def test_disk_is_for_the_group_that_a_directory_gives_its_files(
    disks: Storage, spec: VmSpec, desktops: Path, kind: DiskKind
) -> None:
    desktops.chmod(0o2711)
    disks.create_disk(replace(spec, disk_kind=kind))
    assert (desktops / "desk-1.1.qcow2").stat().st_mode & 0o777 == 0o660


def test_overlay_is_based_on_the_image(disks: Storage, spec: VmSpec, desktops: Path) -> None:
    subprocess.run(["qemu-io", "-c", "write -P 5 0 65536", spec.image.disk], check=True)
    disks.create_disk(spec)
    found = ["qemu-io", "-c", "read -P 5 0 65536", desktops / "desk-1.1.qcow2"]
    subprocess.run(found, check=True)


def test_image_beyond_one_table_is_refused(disks: Storage, spec: VmSpec) -> None:
    huge = replace(spec.image, virtual_bytes=(4 << 40) + 1)
    with pytest.raises(InvalidParameter, match="tiny@1"):
        disks.create_disk(replace(spec, image=huge))


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        (DiskKind.LINKED, lambda spec: storage.ROOM_PER_DESKTOP),
        (
            DiskKind.FULL,
            lambda spec: storage.ROOM_PER_DESKTOP + spec.image.disk.stat().st_blocks * 512,
        ),
    ],
)
def test_room_is_checked_before_writing(
    disks: Storage,
    spec: VmSpec,
    desktops: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: DiskKind,
    least: Callable[[VmSpec], int],
) -> None:
    wanted = replace(spec, disk_kind=kind)
    monkeypatch.setattr(disks, "free_bytes", lambda: least(spec) - 1)
    with pytest.raises(OutOfSpace, match=str(least(spec))):
        disks.create_disk(wanted)
    assert disks.list_disks() == []
    monkeypatch.setattr(disks, "free_bytes", lambda: least(spec))
    disks.create_disk(wanted)


def test_room_promised_to_one_is_not_promised_to_another(disks: Storage) -> None:
    size = disks.free_bytes() // 2
    with disks.reserved(size), pytest.raises(OutOfSpace), disks.reserved(size):
        pass
    with disks.reserved(size):
        pass


def test_failed_copy_leaves_nothing(disks: Storage, spec: VmSpec, desktops: Path) -> None:
    image = replace(spec.image, disk=desktops.parent)
    with pytest.raises(OperationFailed, match="desk-1"):
        disks.create_disk(replace(spec, image=image, disk_kind=DiskKind.FULL))
    assert disks.list_disks() == []


def test_failed_export_leaves_nothing(spec: VmSpec, tmp_path: Path) -> None:
    spec.image.disk.write_bytes(b"QFI\xfb" + bytes(8))
    with pytest.raises(OperationFailed, match="image"):
        storage.export(spec.image.disk, "qcow2", tmp_path / "exported.qcow2")
    assert [path.name for path in tmp_path.iterdir()] == ["image.qcow2"]


def test_part_of_a_disk_counts_as_that_disk(disks: Storage, desktops: Path) -> None:
    part = leave_part(desktops, "desk-1.1.qcow2.0123abcd.part")
    (desktops / "lost+found").touch()
    assert disks.list_disks() == [
        (part, "desk-1", 1),
        (desktops / "lost+found", "", None),
    ]


def test_names_with_dots_and_digits_are_told_from_generations(
    disks: Storage, spec: VmSpec, desktops: Path
) -> None:
    disks.create_disk(replace(spec, name="a.1.qcow2", generation=12))
    assert disks.list_disks() == [(desktops / "a.1.qcow2.12.qcow2", "a.1.qcow2", 12)]


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "..", ".hidden"])
def test_name_cannot_lead_elsewhere(disks: Storage, name: str) -> None:
    with pytest.raises(InvalidParameter, match="VirtualDesktopName"):
        disks.delete_disk(name, 1)


def test_eight_threads_make_one_disk(disks: Storage, spec: VmSpec, desktops: Path) -> None:
    full = replace(spec, disk_kind=DiskKind.FULL)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(disks.create_disk, [full] * 8))
    assert list_names(desktops) == ["desk-1.1.qcow2"]


class HeldUp(Storage):
    """That of a service which is held up after it has written so many bytes of a disk."""

    def __init__(self, directory: Path, written: int) -> None:
        super().__init__(directory, account=None)
        self.written = written
        self.reached, self.goes_on = threading.Event(), threading.Event()

    def _write(self, spec: VmSpec, target: Path) -> None:
        if not self.written:
            self._wait()
        super()._write(spec, target)
        if self.written:
            with target.open("r+b") as file:
                rest = file.read()[self.written :]
                file.truncate(self.written)
                self._wait()
                file.seek(self.written)
                file.write(rest)

    def _wait(self) -> None:
        self.reached.set()
        assert self.goes_on.wait(60)


@pytest.mark.parametrize("written", [0, 1000])
def test_who_was_held_up_does_not_replace_a_disk(
    disks: Storage, spec: VmSpec, desktops: Path, written: int
) -> None:
    late = HeldUp(desktops, written)
    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(late.create_disk, spec)
        assert late.reached.wait(60)
        disks.create_disk(spec)
        made = (desktops / "desk-1.1.qcow2").stat().st_ino
        late.goes_on.set()
        if written:
            assert isinstance(ending.exception(60), OperationFailed)  # what it wrote has gone
        else:
            ending.result(60)
    assert (desktops / "desk-1.1.qcow2").stat().st_ino == made
    assert list_names(desktops) == ["desk-1.1.qcow2"]


def test_who_was_held_up_does_not_put_half_a_disk_in_place(spec: VmSpec, desktops: Path) -> None:
    late, other = HeldUp(desktops, 1000), HeldUp(desktops, 1000)
    with ThreadPoolExecutor(2) as threads:
        ending = threads.submit(late.create_disk, spec)
        assert late.reached.wait(60)
        making = threads.submit(other.create_disk, spec)
        assert other.reached.wait(60)
        late.goes_on.set()
        assert isinstance(ending.exception(60), OperationFailed)
        assert not (desktops / "desk-1.1.qcow2").exists()
        other.goes_on.set()
        making.result(60)
    assert "No errors were found" in check(desktops / "desk-1.1.qcow2")
    assert list_names(desktops) == ["desk-1.1.qcow2"]


def test_disk_goes_with_what_was_half_made_of_it(
    disks: Storage, spec: VmSpec, desktops: Path
) -> None:
    other = "desk-1.1.qcow2.2.qcow2.0123abcd.part"  # of a VM with an odd name
    for name in ("desk-1.1.qcow2.0123abcd.part", other):
        leave_part(desktops, name)
    disks.create_disk(spec)
    assert list_names(desktops) == ["desk-1.1.qcow2", other]
    leave_part(desktops, "desk-1.1.qcow2.0123abcd.part")
    disks.delete_disk("desk-1", 1)
    assert list_names(desktops) == [other]


@pytest.mark.parametrize("kind", list(DiskKind))
def test_disk_is_new_until_something_is_written(
    disks: Storage, spec: VmSpec, desktops: Path, kind: DiskKind
) -> None:
    wanted = replace(spec, disk_kind=kind)
    disks.create_disk(wanted)
    assert disks.is_new(wanted)
    write_and_read(desktops / "desk-1.1.qcow2")
    assert not disks.is_new(wanted)


@pytest.mark.parametrize("kind", list(DiskKind))
def test_disk_of_another_image_is_not_new(
    disks: Storage, spec: VmSpec, tmp_path: Path, kind: DiskKind
) -> None:
    wanted = replace(spec, disk_kind=kind)
    disks.create_disk(wanted)
    other = tmp_path / "other.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", other, str(2 * SIZE)], check=True)
    assert not disks.is_new(replace(wanted, image=replace(spec.image, disk=other)))
    gone = replace(spec.image, disk=tmp_path / "gone.qcow2")
    assert not disks.is_new(replace(spec, image=gone))  # an overlay names its image


def test_generations_are_those_of_that_vm_alone(disks: Storage, desktops: Path) -> None:
    leave_part(desktops, "a.12.qcow2.0123abcd.part")
    for name in ("a.1.qcow2", "a.1.qcow2.3.qcow2", "a.b.4.qcow2"):
        (desktops / name).touch()
    (desktops / "ab.5.qcow2").touch()
    (desktops / "a.lost+found").touch()
    assert disks.list_generations("a") == {1, 12}
    assert disks.list_generations("a.1.qcow2") == {3}
    assert disks.has_disk("a", 1)
    assert not disks.has_disk("a", 12)


def test_copy_keeps_holes_and_bytes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for position in (0, 5 << 20, (30 << 20) - 3):
            file.seek(position)
            file.write(b"abc")
        file.truncate(40 << 20)
    copy_sparse(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < 1 << 20


def test_export_is_independent_of_its_base(disks: Storage, spec: VmSpec, tmp_path: Path) -> None:
    subprocess.run(["qemu-io", "-c", "write -P 5 0 65536", spec.image.disk], check=True)
    disks.create_disk(spec)
    target = tmp_path / "exported.qcow2"
    assert storage.export(disks.disk_path("desk-1", 1), "qcow2", target) == SIZE
    os.unlink(spec.image.disk)
    subprocess.run(["qemu-io", "-c", "read -P 5 0 65536", target], check=True)
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_raw_disk_that_looks_like_an_overlay_is_not_followed(tmp_path: Path) -> None:
    """What a guest writes to its raw disk may not make us read other files for it."""
    secret, disk, target = (tmp_path / name for name in ("secret", "disk", "exported.qcow2"))
    secret.write_bytes(b"s" * 65536)
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", disk]
    subprocess.run(overlay, check=True)
    storage.export(disk, "raw", target)
    exported = ["qemu-io", "-c", "read -P 115 0 4096", target]
    assert (
        "Pattern verification failed"
        in subprocess.run(exported, capture_output=True, text=True, check=False).stdout
    )
