"""kill -9 at the boundaries of a job: after the restart it ends as it should, nothing left over.

Each case runs fakes/crash_driver.py, whose lives are processes that kill themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import fakes.crash_driver
from fakes.provisioning_rig import Rig, create

DRIVER = Path(fakes.crash_driver.__file__)


def drive(directory: Path, *options: object) -> list[dict[str, Any]]:
    """What the driver found, one for every kill."""
    command = [sys.executable, str(DRIVER), str(directory), *map(str, options)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_all_well(runs: list[dict[str, Any]]) -> None:
    assert {run["kill_at"]: run["wrong"] for run in runs if run["wrong"]} == {}


_BOUNDARIES = {
    "create": 35,
    "create-off": 18,
    "update": 35,
    "patch": 50,
    "scheduled": 65,
    "waves": 65,
    "delete": 22,
    "prep": 40,
}
"""A job of each kind has some more; the busier the machine, the more is written at once, and the
fewer.
"""


def tell(scenario: str, cancel_at: int, runs: list[dict[str, Any]]) -> None:
    """One line for docs/proofs."""
    killed = [run for run in runs if run["killed"]]
    ends = dict(Counter(run["state"] for run in killed))
    orphans = sum(len(run["orphans"]) for run in runs)
    cancelled = f" cancelled at boundary {cancel_at}," if cancel_at else ""
    print(f"{scenario}:{cancelled} {len(killed)} kills, ended {ends}, {orphans} orphans")


def assert_each_ended(runs: list[dict[str, Any]], state: str) -> None:
    """And was killed before."""
    assert {run["kill_at"]: (run["killed"], run["state"]) for run in runs} == {
        run["kill_at"]: (True, state) for run in runs
    }
    assert_all_well(runs)


def test_create_goes_on(tmp_path: Path) -> None:
    runs = drive(tmp_path, "--scenario", "create", "--kill", 2, 9, 17, 25, 34, 44)
    assert len(runs) == 6
    assert_each_ended(runs, "JOB_COMPLETED")


@pytest.mark.parametrize(("cancel_at", "kill_at"), [(15, 20), (30, 44)])
def test_cancel_goes_on(tmp_path: Path, cancel_at: int, kill_at: int) -> None:
    runs = drive(tmp_path, "--cancel-at", cancel_at, "--kill", kill_at)
    assert len(runs) == 1
    assert_each_ended(runs, "JOB_ABORTED")


def test_scheduled_update_goes_on(tmp_path: Path) -> None:
    """Around the scheduling, around the moment it is due, and while its job runs."""
    runs = drive(tmp_path, "--scenario", "scheduled", "--kill", 1, 2, 3, 4, 5, 9, 20)
    assert len(runs) == 7
    assert_each_ended(runs, "JOB_COMPLETED")


def test_update_in_waves_goes_on(tmp_path: Path) -> None:
    """While desktops are claimed, updated and handed out."""
    runs = drive(tmp_path, "--scenario", "waves", "--kill", 8, 14, 22, 32, 41)
    assert len(runs) == 5
    assert_each_ended(runs, "JOB_COMPLETED")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", fakes.crash_driver.SCENARIOS)
def test_killed_at_every_boundary(tmp_path: Path, scenario: str) -> None:
    runs = drive(tmp_path, "--scenario", scenario)
    tell(scenario, 0, runs)
    assert sum(run["killed"] for run in runs) >= _BOUNDARIES[scenario]
    assert_all_well(runs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cancel_at", [2, 4, 12, 20, 30, 44])
@pytest.mark.parametrize("scenario", ["create", "patch", "scheduled", "waves", "prep"])
def test_cancelled_and_killed_at_every_boundary(
    tmp_path: Path, scenario: str, cancel_at: int
) -> None:
    runs = drive(tmp_path, "--scenario", scenario, "--cancel-at", cancel_at)
    tell(scenario, cancel_at, runs)
    assert_all_well(runs)


class Interrupted:
    """A store whose n-th write of rows fails once, before anything is written."""

    def __init__(self, store: Any, failing_write: int) -> None:
        self._store = store
        self._left = failing_write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_job_desktops(self, *args: Any, **kwargs: Any) -> None:
        self._left -= 1
        if self._left == 0:
            raise OSError("no space left on device")
        self._store.put_job_desktops(*args, **kwargs)

    @property
    def was_interrupted(self) -> bool:
        return self._left <= 0


@pytest.mark.parametrize("failing_write", range(1, 7))
def test_interrupted_write_repeats_without_doing_any_desktop_twice(
    tmp_path: Path, failing_write: int
) -> None:
    """Six writes at least: the result of each phase goes with the intent of the next."""
    made: list[str] = []

    def watch(host: Any) -> Any:
        return fakes.crash_driver.Watched(host, lambda _name: None, made.append)

    def interrupt(store: Any) -> Any:
        return Interrupted(store, failing_write)

    rig = Rig(tmp_path, wrap_host=watch, wrap_store=interrupt).resume()
    rig.add_collection()
    report = rig.run(create([("host1", 2)]))
    store: Any = rig.store
    assert store.was_interrupted
    assert report.succeeded == 2
    assert sorted(made) == [
        *(f"create_disk pool-{n}.1.qcow2" for n in (1, 2)),
        *(f"define pool-{n}" for n in (1, 2)),
        *(f"start pool-{n}" for n in (1, 2)),
    ]
    assert rig.orphans() == []
    rig.close()
