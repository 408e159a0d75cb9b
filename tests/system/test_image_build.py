"""An image built from nothing, killed on the way, and built again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openrdms.adapters.images.tools import DebianImageTools

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BUILD = """
import sys
from pathlib import Path
from openrdms.adapters.images.tools import DebianImageTools
DebianImageTools().build("tiny", Path(sys.argv[1]), lambda f, words: print(f, words, flush=True))
"""


def find_processes(work: Path) -> list[str]:
    found = subprocess.run(["pgrep", "-f", str(work)], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_killed_build_leaves_no_process_and_the_next_one_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, cache = tmp_path / "work", tmp_path / "cache"
    monkeypatch.setenv("TMPDIR", str(work))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    for name in ("work", "first", "second"):
        (tmp_path / name).mkdir()
    _kill_when_installing(tmp_path / "first")
    deadline = time.monotonic() + 10
    while find_processes(work):
        assert time.monotonic() < deadline, "the build goes on"
        time.sleep(0.1)
    assert list(work.iterdir()) != []
    assert list((tmp_path / "first").iterdir()) == []

    seen: list[float] = []
    tools = DebianImageTools()
    built = tools.build("tiny", tmp_path / "first", lambda fraction, _words: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert list(work.iterdir()) == []
    assert built.kernel is not None
    assert built.kernel.stat().st_size > 1_000_000

    begun = time.monotonic()
    again = tools.build("tiny", tmp_path / "second", lambda _fraction, _words: None)
    assert time.monotonic() - begun < 10
    assert again.sha256 == built.sha256
    assert again.disk.samefile(built.disk)


def _kill_when_installing(target: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        for line in process.stdout or ():
            if "unpacking" in line:
                process.kill()
                return
    pytest.fail("the build ended before it could be killed")
