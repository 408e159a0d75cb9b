"""kill -9 at every step of an image's removal: it is whole until the records say that it is gone,
and from then on nothing is left of it after the next start.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fakes.removal_driver

DRIVER = Path(fakes.removal_driver.__file__)


def test_removal_killed_at_every_step(tmp_path: Path) -> None:
    command = [sys.executable, str(DRIVER), str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert {run["boundary"]: run["wrong"] for run in runs if run["wrong"]} == {}
    steps = [run["boundary"] for run in runs]
    assert steps[:2] == ["before remove_image", "after remove_image"]
    assert [step for step in steps if "unlink disk.qcow2" in step]
    assert steps.count("after drop_image") == 2  # one on each host
