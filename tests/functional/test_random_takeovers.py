"""Three services on one PostgreSQL, killed, paused and cut off from the network at random: each job
ends as asked, nothing is left or lost, and nothing is done to a desktop twice.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fakes import takeover_proof
from fakes.random_takeovers import ALL, Kind, draw, keep, open_proof, surroundings, world
from fakes.takeover_proof import Proof
from live.network import why_not
from openrdms.model.job import JobAction

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "takeovers-random.txt"


def test_killed_paused_and_cut_off_at_random(tmp_path: Path) -> None:
    with (
        surroundings() as (postgresql, [places]),
        world(tmp_path, postgresql, 30, places) as made,
    ):
        for seed in (8, 6):
            found = made.run(seed)
            print(found)
            assert not found.wrong, str(found)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_killed_paused_and_cut_off_at_random_for_the_record() -> None:
    """Half a minute for each seed that the proof has no line of yet, or of other code."""
    proof = open_proof(PROOF, count=300)
    keep(proof, worlds=2, stop=threading.Event())
    assert proof.is_well, proof.summary


def test_a_seed_stands_for_one_plan() -> None:
    plans = [draw(seed) for seed in range(1, ALL + 1)]
    assert plans == [draw(seed) for seed in range(1, ALL + 1)]
    assert {plan.action for plan in plans} == {JobAction.CREATE, JobAction.DELETE}
    assert sum(plan.cancel_at is not None for plan in plans) > ALL / 10
    blows = [blow.kind for plan in plans for blow in plan.blows]
    assert all(blows.count(kind) > ALL / 3 for kind in Kind)


def test_a_proof_goes_on_where_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "proof"
    plans = {1: "kill", 2: "cut", 3: "pause"}
    proof = Proof(file, 30, plans)
    proof.add(2, "   2 create; taken over 2.5 s after its death; well")
    proof.add(1, "   1 create; taken over 12.0 s after its death (nobody could judge before); well")
    again = Proof(file, 30, plans)
    assert again.missing == [3]
    assert again.is_well
    again.add(3, "   3 delete; taken over 5.1 s after its death; well")
    assert not again.is_well
    assert file.read_text().splitlines()[1:] == [
        "   1 create; taken over 12.0 s after its death (nobody could judge before); well",
        "   2 create; taken over 2.5 s after its death; well",
        "   3 delete; taken over 5.1 s after its death; well",
        "3 of 3 seeds, 3 well; 2 takeovers after a death, 5.1 s at most",
    ]
    assert Proof(file, 300, plans).missing == [1, 2, 3]
    assert Proof(file, 30, {**plans, 2: "kill"}).missing == [1, 2, 3]
    monkeypatch.setattr(takeover_proof, "digest_code", lambda: "other code")
    assert Proof(file, 30, plans).missing == [1, 2, 3]
