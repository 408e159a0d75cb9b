"""kill -9 at random moments of jobs, pools beside them: nothing is left, lost or handed on used.

Each part runs fakes/random_crashes.py over a range of seeds; a seed that went wrong does so again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fakes.random_crashes

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "kill-9-random.txt"
ALL, PART = 500, 25


def drive(directory: Path, first: int, last: int) -> list[str]:
    """One line for each seed. All must have gone well."""
    command = [sys.executable, fakes.random_crashes.__file__, directory, first, last]
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


def test_killed_at_random(tmp_path: Path) -> None:
    """Some of every kind of job but Prep."""
    assert len(drive(tmp_path, 2, 9)) == 8


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(1, ALL, PART))
def test_killed_at_random_for_the_record(tmp_path: Path, first: int) -> None:
    lines = drive(tmp_path, first, first + PART - 1)
    with PROOF.open("a") as proof:  # one write: parts run side by side
        proof.write("".join(f"{line}\n" for line in lines))


def test_a_seed_stands_for_one_plan() -> None:
    draw = fakes.random_crashes.draw
    plans = [draw(seed) for seed in range(1, ALL + 1)]
    assert plans == [draw(seed) for seed in range(1, ALL + 1)]
    assert {plan.scenario for plan in plans} == set(fakes.random_crashes.DOCUMENTS)
    assert sum(plan.cancel_at > 0 for plan in plans) > ALL / 5
    assert sum(len(plan.kills) > 1 for plan in plans) > ALL / 5
    assert sum(plan.user for plan in plans) > ALL / 10
