"""What desktops of an update wait for: position and seconds, in real figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fakes.job_work import NOW, FakeHost, make_job, make_rows, make_tools, make_work
from openrdms.model.job import JobAction
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning.wave_waits import WaveNow, tell_wave
from openrdms.services.provisioning.work import Work

TIMES = {"clone": 1.0, "define": 0.5, "start": 0.5, "boot": 18.0}
LINE, LATER = ReasonCode.TOO_MANY_UNAVAILABLE, ReasonCode.EARLIER_WAVE


def tell(times: Mapping[str, float] = TIMES, **fields: Any) -> dict[int, Wait]:
    """What they wait for, 6 s after one of two that may be in work was begun; each takes 20 s."""
    rows = make_rows(8, was_running=True)
    work = make_work(make_tools(times, FakeHost(), slots=2), make_job(JobAction.PATCH), rows)
    now = WaveNow(
        number=1,
        since=NOW,
        most=2,
        under_way=[0],
        finished=1,
        age=6.0,
        line=[],
        others={},
        later=[],
    )
    return dict(tell_wave(work, replace(now, **fields)))


def figures(waits: Mapping[int, Wait]) -> dict[int, tuple[str, int | None, float | None]]:
    return {ordinal: (wait.code, wait.position, wait.seconds) for ordinal, wait in waits.items()}


def test_who_is_next_waits_for_the_round_that_has_begun() -> None:
    assert figures(tell(line=[4, 2, 3], away="; 1 cannot be reached on h2")) == {
        4: (LINE, 1, 14.0),
        2: (LINE, 2, 14.0),
        3: (LINE, 3, 34.0),
    }
    assert (
        "being updated; 1 cannot be reached on h2"
        in tell(line=[4], away="; 1 cannot be reached on h2")[4].words
    )


def test_later_waves_wait_for_all_rounds_before_them() -> None:
    waits = tell(line=[2, 3], later=[[4], [5, 6, 7]])
    assert figures({ordinal: waits[ordinal] for ordinal in (4, 5, 7)}) == {
        4: (LATER, 3, 34.0),
        5: (LATER, 4, 54.0),
        7: (LATER, 6, 54.0),
    }
    assert waits[4].words == "waits until wave 1 is done and good"


def test_a_wave_waits_for_its_users_as_long_as_these_may_stay() -> None:
    stays = Wait(ReasonCode.USER_LOGGED_ON, "ann has it", NOW, seconds=100.0)
    forced = tell(others={2: stays}, later=[[3]])
    assert figures(forced) == {
        2: (ReasonCode.USER_LOGGED_ON, None, 100.0),
        3: (LATER, 2, 120.0),
    }
    for_ever = tell(line=[4], others={2: replace(stays, seconds=None)}, later=[[3]])
    assert figures(for_ever)[3] == (LATER, 3, None)
    assert figures(for_ever)[4] == (LINE, 1, 14.0)


def test_a_host_that_is_away_does_not_keep_the_next_wave_waiting() -> None:
    away = Wait(ReasonCode.HOST_AWAY, "h2 is away", NOW)
    assert figures(tell(others={2: away}, later=[[3]]))[3] == (LATER, 2, 14.0)


@pytest.mark.parametrize(("left", "seconds"), [(60.0, 80.0), (0.0, 14.0), (None, None)])
def test_nobody_goes_on_before_the_image_is_there(
    left: float | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Work, "copies_left", lambda work: left)
    next_round = None if seconds is None else seconds + 20.0
    assert figures(tell(line=[2], later=[[3]])) == {
        2: (LINE, 1, seconds),
        3: (LATER, 2, next_round),
    }


def test_what_was_never_measured_is_not_made_up() -> None:
    waits = tell({"clone": 1.0}, line=[2], later=[[3], [4]])
    assert figures(waits) == {2: (LINE, 1, None), 3: (LATER, 2, None), 4: (LATER, 3, None)}
