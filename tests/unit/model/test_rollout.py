"""Waves, how many at a time, notices."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.desktop_use import Use
from openrdms.model.rollout import (
    ALL,
    NOTICES,
    Notice,
    Rank,
    Share,
    allowed,
    assign_waves,
    due_notice,
    is_forced,
    next_notice,
    parse_share,
    parse_waves,
    rank,
    render_waves,
)

FORCE = datetime(2026, 5, 4, 22, 0, tzinfo=UTC)
PERCENT = st.integers(1, 100).map(lambda number: Share(number, percent=True))
SHARES = PERCENT | st.integers(1, 1000).map(Share)
WAVES = st.lists(SHARES, max_size=6, unique=True).map(
    lambda shares: (*sorted((s for s in shares if s != ALL), key=lambda s: s.number), ALL)
)
RANKS = st.lists(st.sampled_from(Rank), max_size=60)


def before(**left: float) -> datetime:
    return FORCE - timedelta(**left)


@given(SHARES)
def test_share_is_read_as_it_is_written(share: Share) -> None:
    assert parse_share("X", str(share)) == share


@given(WAVES)
def test_waves_are_read_as_they_are_written(waves: tuple[Share, ...]) -> None:
    assert parse_waves("Waves", render_waves(waves)) == waves


@given(SHARES, st.integers(1, 5000))
def test_share_is_rounded_up_and_never_nobody(share: Share, total: int) -> None:
    count = share.of(total)
    assert 1 <= count <= total
    wanted = share.number * total / 100 if share.percent else share.number
    assert count == total or wanted <= count < wanted + 1 or count == 1


@pytest.mark.parametrize(
    ("use", "runs", "expected"),
    [
        (Use.UNREADY, False, Rank.OFF),
        (Use.READY, False, Rank.OFF),
        (Use.READY, True, Rank.SPARE),
        (Use.UNREADY, True, Rank.OTHER),
        (Use.TAKEN, True, Rank.OTHER),
        (Use.TAKEN, False, Rank.OTHER),
        (None, True, Rank.OTHER),
    ],
)
def test_what_disturbs_nobody_comes_first(use: Use | None, runs: bool, expected: Rank) -> None:
    assert rank(use, runs=runs) is expected


@given(RANKS, WAVES)
def test_every_desktop_has_a_wave_and_waves_have_no_gaps(
    ranks: list[Rank], waves: tuple[Share, ...]
) -> None:
    assigned = assign_waves(ranks, waves)
    assert len(assigned) == len(ranks)
    assert sorted(set(assigned)) == list(range(len(set(assigned))))
    assert assigned == assign_waves(ranks, waves)


@given(RANKS, WAVES)
def test_earlier_waves_disturb_less(ranks: list[Rank], waves: tuple[Share, ...]) -> None:
    pairs = sorted(zip(assign_waves(ranks, waves), ranks, strict=True))
    for (wave, first), (later, second) in itertools.pairwise(pairs):
        assert wave == later or first <= second


@given(RANKS, WAVES)
def test_what_a_wave_has_said_is_new_when_it_ends(
    ranks: list[Rank], waves: tuple[Share, ...]
) -> None:
    assigned = assign_waves(ranks, waves)
    ends = {sum(wave <= end for wave in assigned) for end in set(assigned)}
    assert ends == {share.of(len(ranks)) for share in waves if ranks}


def test_waves_of_a_large_and_of_a_small_collection() -> None:
    waves = parse_waves("Waves", "1%,10%,100%")
    large = assign_waves([Rank.SPARE] * 1000, waves)
    assert [large.count(wave) for wave in range(3)] == [10, 90, 900]
    assert assign_waves([Rank.OTHER, Rank.OFF, Rank.SPARE], waves) == [1, 0, 1]
    assert assign_waves([Rank.OTHER], ()) == [0]


@given(st.none() | SHARES, st.integers(1, 3000))
def test_some_may_always_be_in_work_and_all_after_force(share: Share | None, total: int) -> None:
    assert 1 <= allowed(share, total, forced=False) <= total
    assert allowed(share, total, forced=True) == total


def test_a_quarter_may_be_in_work_when_nobody_says() -> None:
    assert [allowed(None, total, forced=False) for total in (1, 4, 5, 100)] == [1, 1, 2, 25]


def test_force_is_at_its_time_or_at_once() -> None:
    assert is_forced(None, FORCE)
    assert is_forced(FORCE, FORCE)
    assert not is_forced(FORCE, before(seconds=1))


@pytest.mark.parametrize(
    ("left", "sent", "expected"),
    [
        (20, None, None),
        (15, None, Notice(15, 15)),
        (14.2, 15, None),
        (5, 15, Notice(5, 5)),
        (1, 5, Notice(1, 1)),
        (0.5, 1, None),
        (3.5, 15, Notice(5, 4)),
        (3.5, None, Notice(5, 4)),
        (0.2, None, Notice(1, 1)),
        (0, None, None),
        (-5, 15, None),
    ],
)
def test_latest_notice_that_is_due_says_what_is_really_left(
    left: float, sent: int | None, expected: Notice | None
) -> None:
    assert due_notice(FORCE, before(minutes=left), sent) == expected


@given(st.lists(st.floats(-5, 30), min_size=1, max_size=30))
def test_each_notice_comes_once_whenever_one_looks(times: list[float]) -> None:
    sent: int | None = None
    told = []
    for left in sorted(times, reverse=True):
        notice = due_notice(FORCE, before(minutes=left), sent)
        if notice:
            sent = notice.due
            told.append(notice)
    assert [notice.due for notice in told] == sorted({n.due for n in told}, reverse=True)
    assert all(0 < notice.minutes <= notice.due for notice in told)


@given(st.floats(-5, 30))
def test_waking_at_the_next_one_finds_it_due(left: float) -> None:
    now = before(minutes=left)
    at = next_notice(FORCE, now)
    assert (at is None) == (now >= before(minutes=min(NOTICES)))
    if at:
        assert at > now
        assert due_notice(FORCE, at, None) is not None
