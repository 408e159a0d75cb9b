"""The image cache: built once, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from openrdms.adapters.images import cache


class Builder:
    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, place: Path) -> None:
        self.runs += 1
        (place / "disk").write_bytes(b"built")
        (place / "kernel").write_bytes(b"linux")


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openrdms"


def fetch(target: Path, make: Builder) -> str:
    target.mkdir()
    return cache.fetch("tiny-1", "disk", target, make, lambda _fraction, _words: None)


def test_second_fetch_is_the_same_files_not_another_build(tmp_path: Path) -> None:
    make = Builder()
    first, second = fetch(tmp_path / "a", make), fetch(tmp_path / "b", make)
    assert make.runs == 1
    assert first == second
    assert (tmp_path / "a/disk").samefile(tmp_path / "b/disk")
    assert (tmp_path / "b/kernel").read_bytes() == b"linux"
    assert not (tmp_path / "b/disk").stat().st_mode & 0o222


def test_damaged_entry_is_built_again(tmp_path: Path, cache_home: Path) -> None:
    make = Builder()
    fetch(tmp_path / "a", make)
    disk = cache_home / "tiny-1" / "disk"
    disk.unlink()
    disk.write_bytes(b"half")
    fetch(tmp_path / "b", make)
    assert make.runs == 2
    assert (tmp_path / "b/disk").read_bytes() == b"built"


def test_failed_build_leaves_no_entry(tmp_path: Path, cache_home: Path) -> None:
    def fail(place: Path) -> None:
        (place / "disk").write_bytes(b"half")
        raise RuntimeError

    (tmp_path / "a").mkdir()
    with pytest.raises(RuntimeError):
        cache.fetch("tiny-1", "disk", tmp_path / "a", fail, lambda _fraction, _words: None)
    assert not (cache_home / "tiny-1").exists()
    make = Builder()
    fetch(tmp_path / "b", make)
    assert make.runs == 1
