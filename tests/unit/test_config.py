"""What a state directory remembers."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from openrdms import config


@pytest.mark.parametrize(
    "others",
    [
        (),
        ("postgresql://rdms@db.example/rdms", Path("/etc/rdms/password"), Path("/etc/rdms/key")),
        ("postgresql:///rdms", None, Path("/etc/rdms/key")),
    ],
)
def test_what_was_used_is_remembered_for_the_account_alone(
    tmp_path: Path, others: tuple[Any, ...]
) -> None:
    used = config.Remembered(("qemu:///system", "simulator:///tmp/x?hosts=2"), *others)
    config.remember(tmp_path, used)
    assert config.recall(tmp_path) == used
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_before_the_first_service_it_is_the_embedded_libvirt(tmp_path: Path) -> None:
    assert config.recall(tmp_path).hypervisors == (config.EMBEDDED_LIBVIRT,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"hypervisors": []}',
        '{"hypervisors": [3]}',
        '{"hypervisors": ["x"], "database": 3}',
    ],
)
def test_a_record_that_is_none_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "service.json").write_text(text)
    with pytest.raises(ValueError, match=r"service\.json"):
        config.recall(tmp_path)


def test_a_write_that_fails_leaves_the_old_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    config.write_atomically(file, "old", 0o644)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        config.write_atomically(file, "new", 0o644)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
