"""Places in a line, and how long it takes until it is one's turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.waiting_line import LAPSE_SECONDS, WaitingLine, estimate_turn

PEOPLE = st.sampled_from(["ann", "bob", "eve", "zoe"])
STEPS = st.lists(st.tuples(st.sampled_from(["ask", "keep", "leave"]), PEOPLE, st.floats(0, 20)))


@given(STEPS)
def test_first_come_first_served_while_one_keeps_asking(
    steps: list[tuple[str, str, float]],
) -> None:
    line, now = WaitingLine(), 0.0
    expected: list[tuple[str, float]] = []  # who stands there, and when he asked last
    for step, who, pause in steps:
        now += pause
        expected = [(one, asked) for one, asked in expected if now - asked <= LAPSE_SECONDS]
        if step == "leave":
            line.leave(who.upper())
            expected = [(one, asked) for one, asked in expected if one != who]
        elif step == "keep":
            line.keep(who.title(), now)
            expected = [(one, now if one == who else asked) for one, asked in expected]
        else:
            if who in [one for one, _ in expected]:
                expected = [(one, now if one == who else asked) for one, asked in expected]
            else:
                expected.append((who, now))
            assert line.ask(who, now) == [one for one, _ in expected].index(who) + 1
        assert [(place.holder, place.asked) for place in line.list(now)] == expected


@pytest.mark.parametrize(
    ("elapsed", "estimates"),
    [
        ([], [4, 8, 12]),
        ([1, 3], [1, 3, 5, 7, 9]),
        ([9], [0, 4, 8]),  # it is late
    ],
)
def test_those_under_way_come_first_and_then_as_many_again(
    elapsed: list[float], estimates: list[float]
) -> None:
    positions = range(1, len(estimates) + 1)
    assert [estimate_turn(position, 4, elapsed) for position in positions] == estimates
