"""Places in a line, and how long it takes until it is one's turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.waiting_line import LAPSE_SECONDS, PreparationTimes, WaitingLine

PEOPLE = st.sampled_from(["ann", "bob", "eve", "zoe"])
STEPS = st.lists(st.tuples(st.sampled_from(["ask", "leave"]), PEOPLE, st.floats(0, 20)))


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
        else:
            if who in [one for one, _ in expected]:
                expected = [(one, now if one == who else asked) for one, asked in expected]
            else:
                expected.append((who, now))
            assert line.ask(who, now) == [one for one, _ in expected].index(who) + 1
        assert [(place.holder, place.asked) for place in line.list(now)] == expected


def test_nothing_is_estimated_before_something_was_prepared() -> None:
    times = PreparationTimes()
    times.begin("vd-1", 10)
    times.begin("vd-2", 10)
    assert times.estimate(1, 11) is None
    times.end("vd-2", 11, ready=False)
    assert times.estimate(1, 11) is None
    times.end("vd-1", 14, ready=True)
    assert times.estimate(1, 14) == 4
    assert times.estimate(3, 14) == 12


def test_those_under_way_come_first_and_then_as_many_again() -> None:
    times = PreparationTimes()
    times.begin("vd-1", 0)
    times.end("vd-1", 4, ready=True)
    times.begin("vd-1", 10)
    times.begin("vd-2", 12)
    assert [times.estimate(position, 13) for position in (1, 2, 3, 4, 5)] == [1, 3, 5, 7, 9]
    assert times.estimate(1, 20) == 0  # it is late


def test_the_estimate_follows_what_is_measured() -> None:
    times, now = PreparationTimes(), 0.0
    for took in [10.0] + [2.0] * 30:
        times.begin("vd-1", now)
        now += took
        times.end("vd-1", now, ready=True)
    estimate = times.estimate(1, now)
    assert estimate is not None
    assert 2 <= estimate < 2.1
