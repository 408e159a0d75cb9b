"""How long it will be, from what such steps took: in real figures."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from fakes.job_work import GUID, NOW, FakeHost, make_job, make_rows, make_tools, make_work, until
from openrdms.jobs.tokens import Kind
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction, VmStatus
from openrdms.model.patch import FORCE_LOG_OFF
from openrdms.model.provisioning import JobDocument, OnError, render_job
from openrdms.model.reason import ReasonCode, Wait
from openrdms.model.rollout import ALL, Share
from openrdms.services.provisioning import work as work_module
from openrdms.services.provisioning.estimates import estimate, estimate_end, expect_wave
from openrdms.services.provisioning.lines import in_lines, tell_line
from openrdms.services.provisioning.work import Tools, Work

TIMES = {
    "clone": 1.0,
    "define": 0.5,
    "start": 0.5,
    "boot": 18.0,
    "stop": 2.0,
    "remove": 1.5,
    "undo": 5.0,
}


def update(most: Share | None = None, *waves: Share) -> str:
    """The document of an update."""
    document = JobDocument(
        action=JobAction.PATCH,
        on_error=OnError.STOP,
        collection="Pool",
        disk_kind=DiskKind.LINKED,
        base_vm_location="image:tiny",
        waves=waves,
        max_unavailable=most,
    )
    return render_job(document)


def tools(*, slots: int = 4, factor: int = 100, **times: float) -> Tools:
    return make_tools(TIMES | times, FakeHost(), slots=slots, factor=factor)


def test_as_many_boot_at_a_time_as_the_factor_says() -> None:
    rows = make_rows(10)
    assert estimate(tools(), make_job(), rows).seconds == 23  # 10 x 2 s of calls by 4, a boot
    assert estimate(tools(factor=2), make_job(), rows).seconds == 100  # 5 times 20 s
    assert estimate(tools(), make_job(start=False), rows).seconds == 4  # 10 x 1.5 s by 4


def test_a_delete_stops_and_removes_side_by_side() -> None:
    job = make_job(JobAction.DELETE)
    assert estimate(tools(), job, make_rows(1)).seconds == 5  # a stop and two removals
    assert estimate(tools(), job, make_rows(100)).seconds == 75  # 100 x 3 s of removals by 4
    assert estimate(tools(stop=9.0), job, make_rows(100)).seconds == 113  # 100 stops by 8


def test_one_at_a_time_takes_as_often_as_long() -> None:
    job = make_job(JobAction.PATCH, update(Share(1)))
    rows = make_rows(100, was_running=True)
    patient = estimate(tools(), job, rows, stay=None)
    assert patient.seconds == 2000
    assert patient.basis.endswith("; at most 1 at a time")
    assert estimate(tools(), job, rows).seconds == 68
    assert estimate(tools(), job, rows, stay=600.0).seconds == 668
    assert estimate(tools(), job, rows, stay=3600.0).seconds == 2000


def test_waves_come_one_after_the_other_and_each_in_parts() -> None:
    job = make_job(JobAction.PATCH, update(Share(25, percent=True), Share(1), ALL))
    rows = make_rows(101, was_running=True)
    rows = [replace(row, wave=int(row.ordinal > 0)) for row in rows]
    # 20 s for the first; then four times 25: 12.5 s of calls, and a boot
    assert estimate(tools(), job, rows, stay=None).seconds == 20 + 4 * 30.5 + 0
    assert expect_wave(tools(), job, rows[1:], 26) == (4, 30.5)
    done = [replace(row, status=VmStatus.COMPLETE) for row in rows[:1]] + rows[1:]
    assert estimate(tools(), job, done, stay=None).seconds == 4 * 30.5


def test_an_update_of_what_is_off_tries_one_of_each_wave() -> None:
    job = make_job(JobAction.PATCH, update())
    assert estimate(tools(), job, make_rows(4)).seconds == 20  # 1.5 s of calls, start and boot


def test_what_was_never_measured_is_said() -> None:
    unknown = estimate(make_tools({"clone": 1.0}, FakeHost()), make_job(), make_rows(1))
    assert (unknown.seconds, unknown.basis) == (None, "never measured: boot, define, start")


def test_a_host_that_was_never_used_is_taken_to_be_like_the_others() -> None:
    rows = make_rows(1, host="host2")
    assert estimate(tools(), make_job(), rows).seconds == 20


def test_a_copy_comes_first() -> None:
    assert estimate(tools(copy=60.0), make_job(), make_rows(1), lacking=["host1"]).seconds == 80
    lacks = estimate(tools(), make_job(), make_rows(1), lacking=["host1"])
    assert (lacks.seconds, lacks.basis) == (None, "never measured: copy")


def test_a_job_ends_once_its_image_has_come_and_all_is_done() -> None:
    wait = Wait(ReasonCode.IMAGE_COPY, "", NOW, seconds=40.0)
    rows = make_rows(1)
    assert estimate_end(tools(), make_job(), rows, {0: wait}) == NOW + timedelta(seconds=60)
    assert estimate_end(tools(), make_job(), rows, {0: replace(wait, seconds=None)}) is None


@pytest.mark.parametrize(("minutes", "seconds"), [(10, 600 + 68), (60, 2000)])
def test_from_its_force_time_on_an_update_does_all_at_once(minutes: int, seconds: int) -> None:
    force = (NOW + timedelta(minutes=minutes)).isoformat()
    job = make_job(JobAction.PATCH, update(Share(1)), **{FORCE_LOG_OFF: force})
    rows = make_rows(100, was_running=True)
    assert estimate_end(tools(), job, rows, {}) == NOW + timedelta(seconds=seconds)


def told(waits: list[tuple[int, Wait]]) -> list[tuple[int, int | None, float | None]]:
    return [(ordinal, wait.position, wait.seconds) for ordinal, wait in waits]


def test_a_line_counts_boots_and_those_before_it() -> None:
    slow = make_work(tools(factor=2), make_job(), make_rows(6))
    waits = tell_line(slow, "host1", [2, 3, 4, 5], ages=[5.0, 5.0])
    assert told(waits) == [(2, 1, 15.0), (3, 2, 15.0), (4, 3, 35.0), (5, 4, 35.0)]
    assert waits[0][1].words == "waits until others on host1 are done, of which 2 are under way"
    quick = make_work(tools(), make_job(start=False), make_rows(2))
    assert told(tell_line(quick, "host1", [0, 1], [0.0] * 20, 20)) == [
        (0, 1, 21 * 1.5 / 4),
        (1, 2, 22 * 1.5 / 4),
    ]


def test_a_line_waits_for_the_image_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Work, "copies_left", lambda work, host: 60.0)
    work = make_work(tools(factor=2), make_job(), make_rows(4))
    assert told(tell_line(work, "host1", [2, 3], ages=[5.0, 5.0])) == [(2, 1, 80.0), (3, 2, 80.0)]


def test_what_is_taken_back_is_measured_as_a_whole() -> None:
    back = make_work(tools(), make_job(), make_rows(2)).past_halt()
    stopped = tell_line(back, "host1", [0, 1], undo=Kind.STOP)
    assert told(stopped) == [(0, 1, 5 / 8), (1, 2, 10 / 8)]
    removed = tell_line(back, "host1", [0, 1], undo=Kind.REMOVE)
    assert told(removed) == [(0, 1, 5 / 4), (1, 2, 10 / 4)]


def test_nobody_knows_how_long_what_was_never_done_takes() -> None:
    work = make_work(make_tools({}, FakeHost()), make_job(), make_rows(2))
    assert told(tell_line(work, "host1", [0, 1])) == [(0, 1, None), (1, 2, None)]


def test_a_real_line_tells_since_when_those_before_it_are_under_way() -> None:
    async def look() -> list[tuple[int, int | None, float | None]]:
        work = make_work(tools(factor=1), make_job(), make_rows(3))
        go_on = asyncio.Event()

        async def act(ordinal: int) -> None:
            await go_on.wait()

        carrying = asyncio.create_task(in_lines(work, work.rows.values(), act))
        await until(lambda: work.made)
        waits = work.tools.waits.of_job(GUID)
        go_on.set()
        await carrying
        return told(list(waits.items()))

    (second, place, soon), (third, last, later) = asyncio.run(asyncio.wait_for(look(), 60))
    assert (second, place, third, last) == (1, 1, 2, 2)
    assert soon is not None
    assert later is not None
    assert later - soon == pytest.approx(20.0)
    assert soon <= 20.0


def test_who_waits_for_a_call_is_told_which_come_before_it() -> None:
    go_on = threading.Event()

    async def look() -> list[tuple[int, int | None, float | None]]:
        work = make_work(tools(slots=1), make_job(), make_rows(4))
        rows = work.rows
        first = asyncio.create_task(work.on_host(rows[0], Kind.CLONE, go_on.wait, 60))
        await until(lambda: work.tools.tokens.load("host1").running)
        asked = [(rows[1], Kind.CLONE), (rows[2], Kind.START), (rows[3], Kind.CLONE)]
        others = [asyncio.create_task(work.on_host(row, kind, int)) for row, kind in asked]
        await until(lambda: work.tools.tokens.load("host1").waiting == len(others))
        waits = work.tools.waits.of_job(GUID)
        go_on.set()
        await asyncio.gather(first, *others)
        assert work.tools.waits.of_job(GUID) == {}
        return sorted(told(list(waits.items())))

    # starts go first, and who makes a call waits no more
    waits = asyncio.run(asyncio.wait_for(look(), 60))
    assert waits == [(1, 2, 1.5), (2, 1, 0.5), (3, 3, 2.5)]


def test_what_is_foreseen_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(work_module, "time", SimpleNamespace(monotonic=lambda: now))

    async def look() -> list[float | None]:
        nonlocal now
        work = make_work(tools(), make_job(), make_rows(1))
        with work.waiting(work.rows[0], ReasonCode.GUEST_BOOTING, "boots", 18.0):
            seen = []
            for seconds in (0.0, 10.0, 10.0):
                now += seconds
                seen.append(work.tools.waits.of_job(GUID)[0].seconds)
        return seen

    assert asyncio.run(look()) == [18.0, 8.0, 0.0]
