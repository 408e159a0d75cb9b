"""The bound, against small cases worked by hand and against schedules that are possible."""

from __future__ import annotations

import heapq
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.adapters.simulator.bound import Work, compute
from openrdms.adapters.simulator.uri import Settings
from openrdms.model.errors import InvalidParameter

ROUND = {"clone_ms": 1000, "start_ms": 1000, "boot_ms": 0, "agent_ms": 0, "destroy_ms": 1000}


def settings(**values: int) -> Settings:
    return Settings(Path("/none"), **{**ROUND, **values})


@pytest.mark.parametrize(
    ("count", "work", "values", "seconds"),
    [
        # one desktop: clone, start, boot, ping, identity
        (1, Work.CREATE, {"hosts": 1, "boot_ms": 5000, "agent_ms": 500}, 8),
        # three on two slots: C1 C2 | C3 S1 | S2 S3, though no slot has taken whole desktops
        (3, Work.CREATE, {"hosts": 1}, 3),
        # three clones on two slots: C1 C2 | C3
        (3, Work.CREATE_OFF, {"hosts": 1}, 2),
        # nothing that is left off boots
        (1, Work.CREATE_OFF, {"hosts": 1, "boot_ms": 5000, "agent_ms": 500}, 1),
        # five on two hosts: three on the fuller
        (5, Work.CREATE_OFF, {"hosts": 2}, 2),
        # slots enough: all at once
        (8, Work.CREATE, {"hosts": 1, "slots": 8}, 2),
        (4, Work.DELETE, {"hosts": 1}, 2),
        # starts of three minutes: two slots take one each, and one of them another
        (3, Work.CREATE, {"hosts": 1, "clone_ms": 0, "start_ms": 180_000}, 360),
    ],
)
def test_worked_by_hand(count: int, work: Work, values: dict[str, int], seconds: float) -> None:
    assert compute(count, settings(**values), work).seconds == pytest.approx(seconds)


def test_thousand_at_default_latencies() -> None:
    """A hundred a host, 150 ms each on two slots, and the last one's boot."""
    bound = compute(1000, Settings(Path("/none")), Work.CREATE)
    assert bound.desktops_of_a_host == 100
    assert bound.on_slots == pytest.approx(7.5)
    assert bound.after == pytest.approx(0.54)


@pytest.mark.parametrize("count", [0, -1])
def test_no_desktops_no_bound(count: int) -> None:
    with pytest.raises(InvalidParameter, match="count"):
        compute(count, settings(), Work.CREATE)


@hypothesis.settings(deadline=None)  # the processor may be busy
@given(
    count=st.integers(1, 40),
    slots=st.integers(1, 6),
    clone=st.integers(0, 50),
    start=st.integers(0, 50),
    boot=st.integers(0, 50),
)
def test_a_schedule_is_never_quicker_nor_twice_as_slow(
    count: int, slots: int, clone: int, start: int, boot: int
) -> None:
    """Whoever is ready takes the slot that is free first: what the simulator does."""
    one_host = settings(hosts=1, slots=slots, clone_ms=clone, start_ms=start, boot_ms=boot)
    bound = compute(count, one_host, Work.CREATE).seconds * 1000
    taken = _schedule(count, slots, clone, start) + boot
    assert bound <= taken + 1e-6
    assert taken <= 2 * bound + 1e-6


def _schedule(count: int, slots: int, clone: int, start: int) -> float:
    free = [0.0] * slots
    waiting = [(0.0, 0, desktop) for desktop in range(count)]
    end = 0.0
    while waiting:
        ready, done, desktop = heapq.heappop(waiting)
        ends = max(ready, heapq.heappop(free)) + (start if done else clone)
        heapq.heappush(free, ends)
        end = max(end, ends)
        if not done:
            heapq.heappush(waiting, (ends, 1, desktop))
    return end
