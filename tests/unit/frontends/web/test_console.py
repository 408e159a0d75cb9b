"""What the console says of states, times and numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from openrdms.frontends.web.api import collections, desktops, jobs
from openrdms.frontends.web.clock import Clock, clock_for
from openrdms.frontends.web.console import settings, words
from openrdms.frontends.web.console.charts import Share, deal
from openrdms.frontends.web.translations import load
from openrdms.model.desktop_use import Use
from openrdms.model.image_difference import Change
from openrdms.model.job import Phase
from openrdms.model.patch import PatchState
from openrdms.model.session import CONNECT_STATES
from openrdms.model.task import TaskState
from openrdms.services.settings import Directory

ENGLISH = load()["en"]
SHARES = st.lists(st.integers(0, 1_000_000), max_size=6)


@pytest.mark.parametrize(
    ("table", "known"),
    [
        (words.USES, Use),
        (words.RUN_STATES, desktops.RunState),
        (words.COLLECTION_STATES, collections.State),
        (words.COLLECTION_TYPES, collections.Type),
        (words.UPDATE_STATES, PatchState),
        (words.ACTIONS, jobs.JobKind),
        (words.JOB_STATES, jobs.JobState),
        (words.JOB_DESKTOPS, jobs.DesktopStatus),
        (words.PHASES, Phase),
        (words.SESSION_STATES, CONNECT_STATES),
        (words.TASK_STATES, TaskState),
        (words.CHANGES, Change),
    ],
)
def test_every_state_has_words(table: dict[object, object], known: object) -> None:
    assert set(table) == set(known)  # type: ignore[call-overload]  # enumerations and a tuple


def test_every_directory_has_words() -> None:
    assert set(Directory) <= set(settings.WORDS)


@given(SHARES, st.integers(6, 300))
def test_a_wall_has_a_cell_for_whatever_there_is(numbers: list[int], cells: int) -> None:
    shares = [Share(str(at), "", number, str(at)) for at, number in enumerate(numbers)]
    tones = deal(shares, cells)
    assert len(tones) == min(sum(numbers), cells)
    assert set(tones) == {share.tone for share in shares if share.number}
    assert tones == sorted(tones, key=int)


@given(SHARES)
def test_few_desktops_have_a_cell_each(numbers: list[int]) -> None:
    few = [number % 30 for number in numbers]
    tones = deal([Share(str(at), "", number, str(at)) for at, number in enumerate(few)], 200)
    assert [tones.count(str(at)) for at in range(len(few))] == few


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (None, "–"),
        (0.4, "0 s"),
        (59, "59 s"),
        (timedelta(minutes=90), "1 h"),
        (timedelta(days=3), "3 d"),
        (-5, "0 s"),
    ],
)
def test_lengths_have_one_unit(length: timedelta | float | None, shown: str) -> None:
    assert Clock(UTC, ENGLISH).span(length) == shown


def test_times_of_today_have_no_date() -> None:
    clock = Clock(UTC, ENGLISH)
    assert re.search(r">\d\d:\d\d:\d\d<", clock.when(clock.now))
    assert ">2020-02-29 12:30<" in clock.when(datetime(2020, 2, 29, 12, 30, 59, tzinfo=UTC))
    assert clock.when(None) == "–"


@pytest.mark.parametrize(
    ("cookie", "shown"),
    [
        ("Europe/Paris", "13:30"),
        ("Nowhere/Land", "12:30"),
        ("../../etc/passwd", "12:30"),
        ("", "12:30"),
    ],
)
def test_times_are_in_the_zone_of_the_visitor(cookie: str, shown: str) -> None:
    headers = [(b"cookie", f"zone={cookie}".encode())]
    clock = clock_for(Request({"type": "http", "headers": headers}), ENGLISH)
    assert f"2020-01-01 {shown}" in clock.when(datetime(2020, 1, 1, 12, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("octets", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (20 << 30, "20 GiB"), (1 << 62, "4096 PiB")],
)
def test_sizes_are_short(octets: int, shown: str) -> None:
    assert words.shown_bytes(octets) == shown
