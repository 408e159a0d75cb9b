"""Importing disks with the real qemu-img: what is taken, and what a file may not bring along."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from openrdms.adapters.images.tools import DebianImageTools
from openrdms.model.errors import InvalidParameter

MIB = 1 << 20
CONTENT = b"openrdms" * 1024


def qemu_img(*arguments: str | Path) -> str:
    command = ["qemu-img", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def import_disk(source: Path, target: Path, seen: list[float] | None = None) -> tuple[Path, int]:
    target.mkdir(exist_ok=True)
    fractions = [] if seen is None else seen
    return DebianImageTools().import_disk(source, target, lambda f, _words: fractions.append(f))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(CONTENT.ljust(4 * MIB, b"\0"))
    return disk


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vhdx", "vmdk"])
def test_every_format_becomes_qcow2(tmp_path: Path, raw: Path, kind: str) -> None:
    source = tmp_path / f"source.{kind}"
    qemu_img("convert", "-f", "raw", "-O", kind, raw, source)
    seen: list[float] = []
    disk, size = import_disk(source, tmp_path / "out", seen)
    assert json.loads(qemu_img("info", "--output=json", disk))["format"] == "qcow2"
    assert size == 4 * MIB
    qemu_img("convert", "-O", "raw", disk, tmp_path / "back.raw")
    assert (tmp_path / "back.raw").read_bytes().startswith(CONTENT)
    assert seen[0] == 0.0
    assert seen == sorted(seen)


def test_disk_with_a_backing_file_is_refused(tmp_path: Path, raw: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", raw, overlay)
    with pytest.raises(InvalidParameter, match="refers to another file"):
        import_disk(overlay, tmp_path / "out")


def test_disk_with_an_external_data_file_is_refused(tmp_path: Path) -> None:
    disk, data = tmp_path / "disk.qcow2", tmp_path / "data"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={data}", disk, "1M")
    with pytest.raises(InvalidParameter, match="refers to another file"):
        import_disk(disk, tmp_path / "out")


def test_vmdk_that_points_at_files_elsewhere_is_refused(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "in").mkdir()
    descriptor = tmp_path / "in" / "disk.vmdk"
    descriptor.write_text(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="monolithicFlat"\nRW {4 * MIB // 512} FLAT "{raw}" 0\n'
    )
    with pytest.raises(InvalidParameter, match="refers to another file"):
        import_disk(descriptor, tmp_path / "out")


def test_encrypted_disk_is_refused(tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    # LUKS measures the processor first, for which some are too quick or too busy
    secret = ["--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"]
    qemu_img("create", "-f", "qcow2", *secret, disk, "1M")
    with pytest.raises(InvalidParameter, match="encrypted"):
        import_disk(disk, tmp_path / "out")


@pytest.mark.parametrize("kind", ["vdi", "vpc"])
def test_other_formats_are_named(tmp_path: Path, raw: Path, kind: str) -> None:
    qemu_img("convert", "-f", "raw", "-O", kind, raw, tmp_path / "disk")
    with pytest.raises(InvalidParameter, match=kind):
        import_disk(tmp_path / "disk", tmp_path / "out")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="not a file"):
        import_disk(tmp_path / "none", tmp_path / "out")
