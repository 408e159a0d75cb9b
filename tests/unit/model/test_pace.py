"""How desktops of a job follow each other on a host."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.pace import Pace

SECONDS = st.floats(0.0, 100.0)
PACES = st.builds(
    lambda calls, boot, hands: Pace(calls, calls + boot, boot, hands),
    SECONDS,
    SECONDS,
    st.integers(1, 10),
)


def test_two_at_a_time_that_boot_for_half_a_minute() -> None:
    pace = Pace(calls=0.3, alone=30.3, boot=30.0, hands=2)
    assert pace.last(4, 4) == pytest.approx(60.6)
    assert list(islice(pace.begins([10.3, 10.3]), 4)) == pytest.approx([20.0, 20.0, 50.3, 50.3])


def test_those_before_the_line_have_their_calls_first() -> None:
    pace = Pace(calls=2.0, alone=2.0, boot=0.0, hands=100)
    assert list(islice(pace.begins([0.0] * 5, calling=5), 2)) == [12.0, 14.0]
    assert pace.last(10, 0) == 20.0


def test_what_takes_longer_than_usual_is_about_to_end() -> None:
    pace = Pace(calls=0.0, alone=5.0, boot=5.0, hands=1)
    assert list(islice(pace.begins([60.0]), 2)) == [0.0, 5.0]


@given(PACES, st.lists(SECONDS, max_size=20), st.integers(1, 30))
def test_nobody_begins_before_who_stands_before_him(
    pace: Pace, ages: list[float], number: int
) -> None:
    begins = list(islice(pace.begins(ages, calling=len(ages)), number))
    assert begins == sorted(begins)
    assert begins[0] >= (len(ages) + 1) * pace.calls


@given(PACES, st.integers(1, 100))
def test_more_desktops_take_no_less(pace: Pace, desktops: int) -> None:
    assert pace.last(desktops, desktops) <= pace.last(desktops + 1, desktops + 1)
    assert pace.last(desktops, desktops) >= pace.alone
    assert pace.last(0, 0) == 0.0
