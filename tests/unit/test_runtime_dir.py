from __future__ import annotations

import os
from pathlib import Path

import pytest

from openrdms import runtime_dir
from openrdms.runtime_dir import make_runtime_dir

PLACE = runtime_dir._place


@pytest.fixture(autouse=True)
def as_a_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Links go below tmp_path."""
    parent = tmp_path / "openrdms"
    monkeypatch.setattr(runtime_dir, "_place", lambda: (parent, 0o700))
    return parent


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    directory = tmp_path / ("s" * 120)
    directory.mkdir()
    return directory


def test_link_leads_to_the_state_directory(state_dir: Path, as_a_user: Path) -> None:
    link = make_runtime_dir(state_dir)
    assert link.parent == as_a_user
    assert len(link.name) == 8
    assert link.resolve() == state_dir
    assert as_a_user.stat().st_mode & 0o777 == 0o700


def test_link_is_the_same_by_every_way_there(state_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(state_dir)
    assert make_runtime_dir(tmp_path / "way") == make_runtime_dir(state_dir)


def test_links_of_two_directories_differ(state_dir: Path, tmp_path: Path) -> None:
    assert make_runtime_dir(state_dir) != make_runtime_dir(tmp_path)


def test_wrong_link_is_put_right(state_dir: Path, tmp_path: Path) -> None:
    link = make_runtime_dir(state_dir)
    link.unlink()
    link.symlink_to(tmp_path)
    assert make_runtime_dir(state_dir).resolve() == state_dir


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_directory_that_others_write_is_refused(
    state_dir: Path, as_a_user: Path, mode: int
) -> None:
    as_a_user.mkdir()
    as_a_user.chmod(mode)
    with pytest.raises(PermissionError, match="openrdms"):
        make_runtime_dir(state_dir)


def test_link_in_the_directorys_place_is_refused(
    state_dir: Path, as_a_user: Path, tmp_path: Path
) -> None:
    as_a_user.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="openrdms"):
        make_runtime_dir(state_dir)


@pytest.mark.parametrize("session", ["", "/run/user/1000"])
@pytest.mark.parametrize(
    ("uid", "place"), [(0, ("/run/openrdms", 0o755)), (1000, ("/tmp/openrdms-1000", 0o700))]
)
def test_place_does_not_depend_on_the_login_session(
    monkeypatch: pytest.MonkeyPatch, session: str, uid: int, place: tuple[str, int]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setenv("XDG_RUNTIME_DIR", session)
    path, mode = PLACE()
    assert (str(path), mode) == place


def test_links_to_removed_state_directories_go(state_dir: Path, tmp_path: Path) -> None:
    removed = tmp_path / "removed"
    removed.mkdir()
    stale = make_runtime_dir(removed)
    removed.rmdir()
    kept = make_runtime_dir(state_dir)
    assert kept.is_symlink()
    assert not stale.is_symlink()
