"""The file that a backup is: what is damaged, missing or not ours is refused."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from openrdms.app import archive
from openrdms.app.archive import Manifest
from openrdms.model import errors

CONTENT = {"records.sqlite": b"records" * 100, "security/audit-key": b"key"}


def make(place: Path) -> tuple[Path, Manifest]:
    files = {}
    for name, content in CONTENT.items():
        files[name] = place / name
        files[name].parent.mkdir(exist_ok=True)
        files[name].write_bytes(content)
    sums = {name: archive.checksum(file) for name, file in files.items()}
    manifest = Manifest(archive.FORMAT, "1", "2026-01-01T00:00:00+00:00", "0001", sums)
    target = place / "backup.tar"
    archive.write(target, manifest, files)
    return target, manifest


def forge(target: Path, manifest: Manifest, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(target, "w") as tar:
        text = json.dumps(asdict(manifest)).encode()
        listed = tarfile.TarInfo("manifest.json")
        listed.size = len(text)
        tar.addfile(listed, io.BytesIO(text))
        for member in members:
            tar.addfile(member)
    return target


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    target, manifest = make(tmp_path)
    (tmp_path / "out").mkdir()
    assert archive.unpack(target, tmp_path / "out") == manifest
    for name, content in CONTENT.items():
        assert (tmp_path / "out" / name).read_bytes() == content
        assert (tmp_path / "out" / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("part", [b"recordsrecords", b"key"])
def test_a_damaged_file_is_refused(tmp_path: Path, part: bytes) -> None:
    target, _ = make(tmp_path)
    content = target.read_bytes()
    at = content.rindex(part)
    target.write_bytes(content[:at] + b"X" + content[at + 1 :])
    (tmp_path / "out").mkdir()
    with pytest.raises(errors.OperationFailed, match="damaged"):
        archive.unpack(target, tmp_path / "out")


@pytest.mark.parametrize("octets", [0, 100, 3000])
def test_part_of_a_backup_is_refused(tmp_path: Path, octets: int) -> None:
    target, _ = make(tmp_path)
    target.write_bytes(target.read_bytes()[:octets])
    (tmp_path / "out").mkdir()
    with pytest.raises(errors.OperationFailed):
        archive.unpack(target, tmp_path / "out")


@pytest.mark.parametrize("name", ["../evil", "/evil", "security/../../evil", "other"])
def test_nothing_is_written_anywhere_else(tmp_path: Path, name: str) -> None:
    _, manifest = make(tmp_path)
    forged = forge(
        tmp_path / "forged.tar", replace(manifest, files={name: "0" * 64}), tarfile.TarInfo(name)
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(errors.OperationFailed, match="not of a backup"):
        archive.unpack(forged, tmp_path / "out")


def test_links_are_refused(tmp_path: Path) -> None:
    _, manifest = make(tmp_path)
    link = tarfile.TarInfo("security/audit-key")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    (tmp_path / "out").mkdir()
    with pytest.raises(errors.OperationFailed, match="not of a backup"):
        archive.unpack(forge(tmp_path / "forged.tar", manifest, link), tmp_path / "out")
