"""What browsers have begun: found by its secret, taken once, gone in time."""

from __future__ import annotations

from datetime import timedelta

from fakes.clock import StoppedClock
from openrdms.security.pending import MOST, Pending

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
    others = [pending.put(number, f"192.0.2.{number % 200}") for number in range(400)]
    mine = [pending.put(number, f"2001:db8::{number:x}") for number in range(20_000)]
    assert [pending.find(other) for other in others] == [*range(400)]
    left = MOST - len(others)
    assert [pending.find(one) is None for one in (mine[0], mine[-left - 1])] == [True, True]
    assert [pending.find(one) is None for one in (mine[-left], mine[-1])] == [False, False]


def test_many_behind_one_address_have_their_own_each() -> None:
    pending = Pending[int](StoppedClock(), LIFE)
    begun = [pending.put(number, "192.0.2.1") for number in range(5000)]
    assert [pending.take(one) for one in begun] == [*range(5000)]
    more = [pending.put(number, "192.0.2.1") for number in range(MOST)]
    assert pending.find(more[0]) == 0
