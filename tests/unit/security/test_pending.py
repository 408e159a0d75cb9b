"""What browsers have begun: found by its secret, taken once, gone in time."""

from __future__ import annotations

from datetime import timedelta

from fakes.clock import StoppedClock
from openrdms.security.pending import MOST_OF_PLACE, Pending

LIFE = timedelta(minutes=10)


def test_it_is_taken_once_and_in_time() -> None:
    clock = StoppedClock()
    pending = Pending[str](clock, LIFE)
    first, second = pending.put("a", "192.0.2.1"), pending.put("b", "192.0.2.1")
    assert [pending.find(first), pending.take(first), pending.take(first)] == ["a", "a", None]
    clock.move(LIFE)
    assert [pending.find(second), pending.take(second)] == [None, None]
    assert pending.find("") is None


def test_who_begins_thousands_of_times_throws_out_himself() -> None:
    pending = Pending[int](StoppedClock(), LIFE)
    kept = pending.put(-1, "192.0.2.1")
    mine = [pending.put(number, f"2001:db8::{number:x}") for number in range(20_000)]
    assert pending.find(kept) == -1
    assert [pending.find(one) is None for one in (mine[0], mine[-MOST_OF_PLACE - 1])] == [True] * 2
    assert pending.find(mine[-MOST_OF_PLACE]) is not None
