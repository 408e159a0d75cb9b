"""Three services on one PostgreSQL, killed and paused at random: every job ends as asked, nothing
is left or lost, and nothing is done to a desktop twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.random_takeovers import draw, world
from live.postgresql import PostgreSql
from openrdms.model.job import JobAction

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "takeovers-random.txt"
ALL = 100


def test_killed_and_paused_at_random(tmp_path: Path, postgresql: PostgreSql) -> None:
    with world(tmp_path, postgresql, count=30) as made:
        for seed in (3, 6):
            found = made.run(seed)
            assert not found.wrong, str(found)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_killed_and_paused_at_random_for_the_record(tmp_path: Path, postgresql: PostgreSql) -> None:
    with world(tmp_path, postgresql, count=300) as made, PROOF.open("w") as proof:
        found = []
        for seed in range(1, ALL + 1):
            found.append(made.run(seed))
            print(found[-1], file=proof, flush=True)
        takeovers = [seconds for one in found for seconds in one.takeovers]
        print(f"taken over {len(takeovers)} times, {max(takeovers):.1f} s at most", file=proof)
    assert [str(one) for one in found if one.wrong] == []


def test_a_seed_stands_for_one_plan() -> None:
    plans = [draw(seed, 10.0) for seed in range(1, ALL + 1)]
    assert plans == [draw(seed, 10.0) for seed in range(1, ALL + 1)]
    assert {plan.action for plan in plans} == {JobAction.CREATE, JobAction.DELETE}
    assert sum(plan.cancel_at is not None for plan in plans) > ALL / 10
    assert sum(blow.pause for plan in plans for blow in plan.blows) > ALL / 3
