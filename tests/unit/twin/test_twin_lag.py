"""When a run's figures are to be believed no more."""

from __future__ import annotations

import pytest

from openrdms.twin.agenda import Agenda
from openrdms.twin.lag import MOST_LATE, Lag


def test_timers_in_time_distort_nothing() -> None:
    lag = Lag(late=[0.01] * 1000, shares=[0.3] * 100)
    assert not lag.distorts
    assert not lag.is_hopeless


@pytest.mark.parametrize(("late", "distorts"), [(9, False), (11, True)])
def test_one_timer_in_a_hundred(late: int, distorts: bool) -> None:
    lag = Lag(late=[0.0] * (1000 - late) + [2 * MOST_LATE] * late)
    assert lag.distorts is distorts


@pytest.mark.parametrize(("busy", "distorts"), [(9, False), (11, True)])
def test_a_busy_processor_distorts(busy: int, distorts: bool) -> None:
    assert Lag(shares=[0.1] * (100 - busy) + [1.2] * busy).distorts is distorts


def test_hopeless_once_most_are_late() -> None:
    lag = Lag(late=[0.0] * 1000)
    for _ in range(24):
        lag.note(2 * MOST_LATE)
    assert not lag.is_hopeless
    for _ in range(2):
        lag.note(2 * MOST_LATE)
    assert lag.is_hopeless


def test_agenda_fires_in_order_and_notes_how_late() -> None:
    """On a clock that each look moves by a tenth, and with what is added meanwhile."""
    ticks = iter(range(1_000_000))
    lag, fired = Lag(), []
    agenda = Agenda(lambda: next(ticks) / 10, 1000.0, lag)
    agenda.at(2.0, lambda: fired.append("second"))
    agenda.at(3.0, lambda: agenda.at(3.5, lambda: fired.append("third")))
    agenda.at(1.0, lambda: fired.append("first"))
    agenda.at(9.0, lambda: fired.append("never"))
    agenda.run(5.0)
    assert fired == ["first", "second", "third"]
    assert all(0 <= late < 1 for late in lag.late)
