"""kill -9 at the boundaries of a job: after the restart it ends as it should, nothing left over.

Each case runs fakes/crash_driver.py, whose lives are processes that kill themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fakes.crash_driver

DRIVER = Path(fakes.crash_driver.__file__)


def drive(directory: Path, *options: object) -> list[dict[str, Any]]:
    """What the driver found, one for every kill."""
    command = [sys.executable, str(DRIVER), str(directory), *map(str, options)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_all_well(runs: list[dict[str, Any]]) -> None:
    assert {run["kill_at"]: run["wrong"] for run in runs if run["wrong"]} == {}


@pytest.mark.parametrize("kill_at", [2, 9, 20, 33, 47, 60])
def test_create_goes_on(tmp_path: Path, kill_at: int) -> None:
    runs = drive(tmp_path, "--scenario", "create", "--kill", kill_at)
    assert [(run["killed"], run["state"]) for run in runs] == [(True, "JOB_COMPLETED")]
    assert_all_well(runs)


@pytest.mark.parametrize(("cancel_at", "kill_at"), [(20, 24), (38, 52)])
def test_cancel_goes_on(tmp_path: Path, cancel_at: int, kill_at: int) -> None:
    runs = drive(tmp_path, "--cancel-at", cancel_at, "--kill", kill_at)
    assert [(run["killed"], run["state"]) for run in runs] == [(True, "JOB_ABORTED")]
    assert_all_well(runs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", fakes.crash_driver.SCENARIOS)
def test_killed_at_every_boundary(tmp_path: Path, scenario: str) -> None:
    runs = drive(tmp_path, "--scenario", scenario)
    assert sum(run["killed"] for run in runs) > 30
    assert_all_well(runs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cancel_at", [2, 4, 15, 30, 45, 60])
@pytest.mark.parametrize("scenario", ["create", "patch", "prep"])
def test_cancelled_and_killed_at_every_boundary(
    tmp_path: Path, scenario: str, cancel_at: int
) -> None:
    runs = drive(tmp_path, "--scenario", scenario, "--cancel-at", cancel_at)
    assert_all_well(runs)
