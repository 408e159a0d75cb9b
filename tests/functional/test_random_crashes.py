"""kill -9 at random moments of jobs, pools beside them: nothing is left, lost or handed on used.

Each part runs fakes/random_crashes.py over a range of seeds; a seed that went wrong does so again.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fakes.random_crashes

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "kill-9-random.txt"
ALL = 500

RESUME_SECONDS = 5.0
"""Within this after its start a service goes on with its job, at the latest."""


def drive(directory: Path, first: int, last: int, at_once: int) -> list[str]:
    """One line for each seed, and one of all. All must have been killed and gone well."""
    command = [sys.executable, fakes.random_crashes.__file__, directory, first, last, at_once]
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def test_killed_at_random(tmp_path: Path) -> None:
    """One of every scenario."""
    lines = drive(tmp_path, 241, 247, 2)
    assert len({line.split()[1].rstrip(";") for line in lines[:-1]}) == 7
    assert lines[-1].startswith("7 runs killed")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_random_for_the_record(tmp_path: Path) -> None:
    """Ten minutes; twice that where others want the processors, too."""
    lines = drive(tmp_path, 1, ALL, 2)
    PROOF.write_text("".join(f"{line}\n" for line in lines))
    slowest = re.search(r"went on after ([\d.]+) s at most", lines[-1])
    assert slowest
    assert float(slowest[1]) <= RESUME_SECONDS


def test_a_seed_stands_for_one_plan() -> None:
    draw = fakes.random_crashes.draw
    plans = [draw(seed) for seed in range(1, ALL + 1)]
    assert plans == [draw(seed) for seed in range(1, ALL + 1)]
    assert {plan.scenario for plan in plans} == set(fakes.random_crashes.DOCUMENTS)
    assert sum(plan.cancel_at > 0 for plan in plans) > ALL / 5
    assert sum(len(plan.kills) > 1 for plan in plans) > ALL / 5
    assert sum(plan.user for plan in plans) > ALL / 10


def test_another_attempt_changes_only_when() -> None:
    first, second = (fakes.random_crashes.draw(7, attempt) for attempt in (0, 1))
    assert first.kills != second.kills
    assert (first.scenario, first.user) == (second.scenario, second.user)
    assert len(first.kills) == len(second.kills)
