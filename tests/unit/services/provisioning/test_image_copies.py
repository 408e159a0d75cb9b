"""An image that is copied to a host before the first disk over it, and who waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fakes.job_work import GUID, IMAGE, FakeHost, make_job, make_rows, make_tools, make_work, until
from openrdms.model import errors
from openrdms.model.job import Phase, VmStatus
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning import image_copies, records, stages
from openrdms.services.provisioning.pipeline import carry
from openrdms.services.provisioning.stages import Stage
from openrdms.services.provisioning.work import Work

STAGES = (Stage(Phase.DISK, stages.make_disk),)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_PAUSE", 0.001)


def make_all(host: FakeHost, begun: Callable[[Work], None] = lambda work: None) -> Work:
    """Let a job make the disks of two desktops; what has become of it."""

    async def carry_both() -> Work:
        work = make_work(make_tools({}, host), make_job(), make_rows(2))
        begun(work)
        await asyncio.gather(*(carry(work, row, STAGES) for row in work.rows.values()))
        return work

    return asyncio.run(asyncio.wait_for(carry_both(), 60))


def test_a_copy_that_met_records_away_is_begun_anew() -> None:
    attempts: list[None] = []

    def copy(progress: Callable[[float], None]) -> None:
        attempts.append(None)
        if len(attempts) == 1:
            raise errors.RecordsUnavailable("no connection became free")

    host = FakeHost(copy=copy)
    work = make_all(host)
    assert [row.status for row in work.rows.values()] == [VmStatus.COMPLETE] * 2
    assert len(attempts) == 2
    assert sorted(host.disks) == ["vd-0", "vd-1"]


def test_a_job_is_cancelled_although_its_copy_fails_for_ever() -> None:
    cancel: list[Callable[[], object]] = []
    attempts: list[None] = []

    def begin(work: Work) -> None:
        loop = asyncio.get_running_loop()
        cancel.append(lambda: loop.call_soon_threadsafe(work.run.halt.set))

    def copy(progress: Callable[[float], None]) -> None:
        attempts.append(None)
        if len(attempts) == 3:
            cancel[0]()
        raise errors.RecordsUnavailable("no connection became free")

    host = FakeHost(copy=copy)
    work = make_all(host, begin)
    assert [row.status for row in work.rows.values()] == [VmStatus.IN_PROGRESS] * 2
    assert [row.intended for row in work.rows.values()] == [Phase.DISK] * 2
    assert [row.done for row in work.rows.values()] == [None] * 2
    assert host.disks == []


def test_what_is_wrong_with_a_copy_all_that_need_it_are_told_once() -> None:
    attempts: list[None] = []

    def copy(progress: Callable[[float], None]) -> None:
        attempts.append(None)
        raise errors.OperationFailed("its checksum is another one")

    work = make_all(FakeHost(copy=copy))
    assert [row.error for row in work.rows.values()] == ["its checksum is another one"] * 2
    assert len(attempts) == 1


class Copying:
    """A copy that stands still after each piece until the test has looked."""

    def __init__(self, *shares: float) -> None:
        self._shares = shares
        self._told = threading.Semaphore(0)
        self._go_on = threading.Semaphore(0)

    def __call__(self, progress: Callable[[float], None]) -> None:
        """As a FakeHost's ``copy``."""
        for share in self._shares:
            progress(share)
            self._told.release()
            assert self._go_on.acquire(timeout=60)

    async def next(self) -> None:
        """Until it stands after its next piece."""
        assert await asyncio.to_thread(self._told.acquire, timeout=60)

    def go_on(self) -> None:
        """Have looked."""
        self._go_on.release()


def test_who_waits_is_told_how_much_is_there_and_how_long_it_will_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(image_copies, "time", SimpleNamespace(monotonic=lambda: now))
    copying = Copying(0.25, 0.5)

    async def look() -> list[dict[int, Wait]]:
        nonlocal now
        tools = make_tools({"copy": 60.0}, FakeHost(copy=copying))
        work = make_work(tools, make_job(), make_rows(2))
        both = [asyncio.create_task(carry(work, row, STAGES)) for row in work.rows.values()]
        seen = []
        for seconds in (10.0, 5.0):
            await copying.next()
            now += seconds
            seen.append(dict(tools.waits.of_job(GUID)))
            assert work.copies_left() == work.copies_left("host1") == seen[-1][0].seconds
            assert work.copies_left("host2") == 0.0
            copying.go_on()
        await asyncio.gather(*both)
        assert work.copies_left() == 0.0
        return [*seen, dict(tools.waits.of_job(GUID))]

    first, then, at_last = asyncio.run(asyncio.wait_for(look(), 60))
    assert {wait.code for wait in first.values()} == {ReasonCode.IMAGE_COPY}
    assert [first[0].position, first[1].position] == [1, 2]
    assert f"{IMAGE.reference}, of which 25% is there" in first[0].words
    assert [first[0].seconds, first[1].seconds] == [60.0, 60.0]  # as such copies usually go
    assert "50% is there" in then[1].words
    assert then[0].seconds == pytest.approx(15.0)  # 10 s for a quarter, 5 s of the next ones gone
    assert at_last == {}


def told(waits: Mapping[int, Wait]) -> str:
    return " ".join(wait.words for wait in waits.values())


def test_another_copy_to_that_host_comes_first() -> None:
    copying = Copying(0.5)

    async def look() -> dict[int, Wait]:
        tools = make_tools({"copy": 60.0}, FakeHost(copy=copying))
        first = make_work(tools, make_job(), make_rows(1))
        other = make_work(tools, make_job(), make_rows(1, image="other@1"))
        other.job = replace(other.job, guid="{2}")
        tasks = [asyncio.create_task(carry(first, first.rows[0], STAGES))]
        await copying.next()
        tasks.append(asyncio.create_task(carry(other, other.rows[0], STAGES)))
        await until(lambda: "after another one" in told(tools.waits.of_job("{2}")))
        waits = tools.waits.of_job("{2}")
        copying.go_on()
        await asyncio.gather(*tasks)
        return dict(waits)

    waits = asyncio.run(asyncio.wait_for(look(), 60))
    assert (waits[0].position, waits[0].seconds) == (1, 120.0)
