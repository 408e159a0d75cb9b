"""Small ext4 disks made here, read without mounting them."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from openrdms.adapters.images.contents import Ext4, compare_disks, find_file_system
from openrdms.model.errors import NotSupported, OperationFailed, OutOfSpace
from openrdms.model.image_difference import ImageDifference

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
STATUS = "Package: {0}\nStatus: install ok installed\nArchitecture: all\nVersion: {1}\n"


def make_tree(root: Path) -> Path:
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS.format("bash", "1"))
    (root / "etc").mkdir()
    for name in ("same", "touched", "content", "bigger", "gone", "mode", "-l <2>", "with space"):
        (root / "etc" / name).write_text(f"content of {name}\n")
    (root / "etc/link").symlink_to("same")
    (root / "etc/long").symlink_to("x" * 100)
    for file in root.rglob("*"):
        os.utime(file, (1e9, 1e9), follow_symlinks=False)
    return root


def change_tree(root: Path) -> None:
    (root / "etc/touched").touch()
    (root / "etc/content").write_text("CONTENT of content\n")
    (root / "etc/bigger").write_text("bigger " * 1000)
    (root / "etc/gone").unlink()
    (root / "etc/mode").chmod(0o600)
    (root / "etc/link").unlink()
    (root / "etc/link").symlink_to("gone")
    (root / "etc/long").unlink()
    (root / "etc/long").symlink_to("y" * 100)
    (root / "new dir").mkdir()
    (root / "new dir/file").write_text("new")
    (root / "var/lib/dpkg/status").write_text(
        STATUS.format("bash", "2") + "\n" + STATUS.format("vim", "9")
    )


def make_raw(root: Path, raw: Path, start: int = 0) -> Path:
    with raw.open("ab") as file:
        file.truncate((16 << 20) + start)
    options = ["-q", "-F", "-t", "ext4", "-E", f"offset={start}", "-d", str(root)]
    command = ["mke2fs", *options, str(raw), "16M"]
    subprocess.run(command, check=True, env={"PATH": PATH}, capture_output=True)
    return raw


def make_disk(root: Path, name: str) -> Path:
    disk = root.parent / name / "1" / "disk.qcow2"
    disk.parent.mkdir(parents=True)
    raw = make_raw(root, root.parent / f"{name}.raw")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, disk], check=True)
    return disk


@pytest.fixture
def compare(tmp_path: Path) -> Callable[[Callable[[Path], None]], ImageDifference]:
    """What differs once a tree was changed."""

    def make(change: Callable[[Path], None]) -> ImageDifference:
        root = make_tree(tmp_path / "root")
        before = make_disk(root, "before")
        change(root)
        told: list[float] = []
        found = compare_disks(before, make_disk(root, "after"), lambda part, _: told.append(part))
        assert told == sorted(told)
        assert told[-1] == pytest.approx(1)
        return found

    return make


def test_what_was_changed_is_found(
    compare: Callable[[Callable[[Path], None]], ImageDifference],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    found = compare(change_tree)
    assert list((tmp_path / "work").iterdir()) == []
    packages = [(one.change, one.name, one.before, one.after) for one in found.packages or []]
    assert packages == [("changed", "bash:all", "1", "2"), ("added", "vim:all", "", "9")]
    files = {one.path: (str(one.change), one.what) for one in found.files}
    assert files == {
        "/etc/bigger": ("changed", ("size",)),
        "/etc/content": ("changed", ("content",)),
        "/etc/gone": ("removed", ()),
        "/etc/link": ("changed", ("content",)),
        "/etc/long": ("changed", ("content",)),
        "/etc/mode": ("changed", ("mode",)),
        "/new dir": ("added", ()),
        "/new dir/file": ("added", ()),
        "/var/lib/dpkg/status": ("changed", ("size",)),
    }


def test_equal_disks_do_not_differ(
    compare: Callable[[Callable[[Path], None]], ImageDifference],
) -> None:
    assert compare(lambda _: None) == ImageDifference([], [])


def test_a_disk_without_dpkg_has_unknown_packages(
    compare: Callable[[Callable[[Path], None]], ImageDifference],
) -> None:
    found = compare(lambda root: (root / "var/lib/dpkg/status").unlink())
    assert found.packages is None


@pytest.mark.parametrize("table", ["gpt", "mbr"])
def test_the_file_system_is_found_behind_a_partition_table(tmp_path: Path, table: str) -> None:
    (tmp_path / "root").mkdir()
    start = 1 << 20
    raw = make_raw(tmp_path / "root", tmp_path / "disk.raw", start)
    with raw.open("r+b") as file:
        file.seek(510)
        file.write(b"\x55\xaa")
        if table == "mbr":
            file.seek(446 + 8)
            file.write(struct.pack("<II", start // 512, (16 << 20) // 512))
        else:
            file.seek(512)
            file.write(b"EFI PART")
            file.seek(512 + 72)
            file.write(struct.pack("<QII", 2, 128, 128))
            file.seek(1024)
            file.write(b"\x01" * 32 + struct.pack("<QQ", start // 512, start // 512 + 32767))
    assert find_file_system(raw) == start


def test_a_disk_without_ext4_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "ntfs.raw"
    raw.write_bytes(b"\xeb\x52\x90NTFS" + bytes(1 << 20))
    with pytest.raises(NotSupported, match="no ext4"):
        find_file_system(raw)


def test_a_partition_behind_the_end_is_none(tmp_path: Path) -> None:
    raw = make_raw(make_tree(tmp_path / "root"), tmp_path / "disk.raw")
    with raw.open("r+b") as file:
        file.seek(512)
        file.write(b"EFI PART")
        file.seek(512 + 72)
        file.write(struct.pack("<QII", 1, 1, 128))
        file.seek(512)
        file.write(b"EFI PART" + b"\x01" * 24 + struct.pack("<QQ", 2**64 - 1, 2**64 - 1))
    assert find_file_system(raw) == 0


def test_a_directory_that_holds_itself_is_listed_once(tmp_path: Path) -> None:
    raw = make_raw(make_tree(tmp_path / "root"), tmp_path / "disk.raw")
    break_disk(raw, "link <2> /etc/loop")
    files = Ext4(raw, 0).list_files()
    assert "/etc/loop" in files
    assert not [path for path in files if path.startswith("/etc/loop/")]


def test_a_file_of_no_kind_is_listed(tmp_path: Path) -> None:
    raw = make_raw(make_tree(tmp_path / "root"), tmp_path / "disk.raw")
    break_disk(raw, "set_inode_field /etc/same mode 0")
    assert Ext4(raw, 0).list_files()["/etc/same"].kind == "unknown"


def test_what_cannot_be_read_is_no_content(tmp_path: Path) -> None:
    raw = make_raw(make_tree(tmp_path / "root"), tmp_path / "disk.raw")
    disk = Ext4(raw, 0)
    entry = disk.list_files()["/etc/same"]._replace(inode=1 << 30)
    with pytest.raises(OperationFailed, match="cannot be read"):
        disk.read(entry)


def test_a_file_that_has_no_room_is_not_copied(tmp_path: Path) -> None:
    raw = make_raw(make_tree(tmp_path / "root"), tmp_path / "disk.raw")
    disk = Ext4(raw, 0)
    free = shutil.disk_usage(tmp_path).free
    entry = disk.list_files()["/etc/same"]._replace(size=free + (1 << 30))
    with pytest.raises(OutOfSpace):
        disk.read(entry)


def break_disk(raw: Path, command: str) -> None:
    argv = ["debugfs", "-w", "-R", command, str(raw)]
    subprocess.run(argv, check=True, env={"PATH": PATH}, capture_output=True)
