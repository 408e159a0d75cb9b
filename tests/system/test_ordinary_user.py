"""An ordinary user, made for the test, builds the image and boots a desktop from it."""

from __future__ import annotations

import os
import pwd
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import openrdms
from conftest import ServiceFactory
from live.rollout import BOOT_S, begin_create, follow, list_sessions, remove_all
from live.service import find_qemus, until

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make an account"),
]


@dataclass(frozen=True)
class User:
    """An account, how to run programs as it, and the environment they have then."""

    entry: pwd.struct_passwd
    launcher: tuple[str, ...]
    environment: dict[str, str]


@pytest.fixture
def user() -> Iterator[User]:
    """With a subuid range (useradd gives one) and a copy of the product; removed afterwards."""
    name = f"rdms{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    entry = pwd.getpwnam(name)
    home = Path(entry.pw_dir)
    try:
        code = [_copy(Path(openrdms.__file__).parent.parent, home / "src")]
        code += [_copy(Path(path), home / "packages") for path in site.getsitepackages()[:1]]
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, code)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        launcher = ("setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups")
        yield User(entry, launcher, environment)
    finally:
        subprocess.run(["userdel", "--remove", name], check=True, capture_output=True)
        shutil.rmtree(f"/tmp/openrdms-{entry.pw_uid}", ignore_errors=True)


def _copy(source: Path, target: Path) -> Path:
    """What the account may read: its own links, the checkout may be where it cannot look."""

    def link(file: str, to: str) -> None:
        try:
            os.link(file, to)
        except OSError:  # another file system
            shutil.copy(file, to)

    shutil.copytree(source, target, copy_function=link, symlinks=True)
    return target


def test_the_main_job_as_an_ordinary_user(user: User, services: ServiceFactory) -> None:
    python = os.path.realpath(sys.executable)
    state_dir = Path(user.entry.pw_dir) / "state"
    build = ["image", "build", "tiny", "--variant", "tiny", "--state-dir", str(state_dir)]
    done = subprocess.run(
        [*user.launcher, python, "-m", "openrdms", *build],
        env=user.environment,
        cwd=user.entry.pw_dir,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    service = services(state_dir, launcher=user.launcher, environment=user.environment)
    try:
        service.start((python, "-m", "openrdms"))
        wire = service.wire()
        report = follow(wire, begin_create(wire, "mine", 1), BOOT_S)
        assert report.state == "JOB_COMPLETED"
        assert set(find_qemus(state_dir).values()) == {user.entry.pw_uid}
        until("its user is logged on", lambda: list_sessions(wire, "mine"), BOOT_S, 2)
        remove_all(wire, "mine")
        assert find_qemus(state_dir) == {}
        assert service.find_orphans() == []
        service.stop()
    finally:
        service.clear()
