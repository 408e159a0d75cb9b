"""States of session hosts and their queue to be started; users of assignments."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model import errors
from openrdms.model.assignment import check_user
from openrdms.model.session_host import ServerState, SessionCollectionType, StartQueue

states = st.sampled_from(ServerState)
OTHERS = [state for state in ServerState if state is not ServerState.STARTING]


def test_both_numberings_are_known() -> None:
    """The interface's numbers, and those of the stock module (facts b.4)."""
    assert {1, 3, 8, 9, 10} | {1, 2, 3, 4, 5, 7, 8, 9, 10} == {int(state) for state in ServerState}


def test_only_pooled_is_not_personal() -> None:
    assert [kind.value for kind in SessionCollectionType if kind.is_personal] == [4, 5]


@given(states, states, states, st.integers(0, 9))
def test_the_state_is_set_when_it_is_the_comparand(
    state: ServerState, comparand: ServerState, new: ServerState, last: int
) -> None:
    before = StartQueue(state)
    after = before.test_and_set(comparand, new, last)
    assert after.state is (new if state is comparand else state)
    started = state is comparand and new is ServerState.STARTING is not state
    assert after.place == (last + 1 if started else None)


@given(st.lists(st.tuples(states, states)))
def test_only_what_is_starting_waits(steps: Iterable[tuple[ServerState, ServerState]]) -> None:
    queue, last = StartQueue(ServerState.UNKNOWN), 0
    for comparand, new in steps:
        before, queue = queue, queue.test_and_set(comparand, new, last)
        last = max(last, queue.place or 0)
        assert queue.place is None or queue.state is ServerState.STARTING
        if before.state is queue.state:
            assert queue == before


@pytest.mark.parametrize("state", OTHERS)
def test_leaving_the_state_leaves_the_queue(state: ServerState) -> None:
    assert StartQueue(ServerState.STARTING, 7).test_and_set(9, state, 7) == StartQueue(state)


def test_starting_again_keeps_the_place() -> None:
    waiting, handed_out = StartQueue(ServerState.STARTING, 7), StartQueue(ServerState.STARTING)
    assert waiting.test_and_set(9, ServerState.STARTING, 9) == waiting
    assert handed_out.test_and_set(9, ServerState.STARTING, 9) == handed_out


@pytest.mark.parametrize(
    ("user", "domain", "field"),
    [
        ("", "CORP", "UserName"),
        (" ", "CORP", "UserName"),
        ("ann", "", "UserDomain"),
        ("CORP\\ann", "CORP", "UserName"),
        ("ann", "CORP\\", "UserDomain"),
    ],
)
def test_a_user_has_two_parts(user: str, domain: str, field: str) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        check_user(user, domain)
    assert caught.value.field == field
