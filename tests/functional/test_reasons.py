"""Why: what desktops of jobs wait for, why they failed, and why they are where they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.provisioning_rig import FAST, Faults, Rig, create, later
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.host import HostSettings
from openrdms.model.job import JobAction
from openrdms.model.provisioning import OnError
from openrdms.model.reason import ReasonCode
from openrdms.model.report import DesktopReport, Report
from openrdms.model.rollout import ALL, Share

HOST = "host1.sim.local"
THREE = [(HOST, 3)]


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def rig(tmp_path: Path, faults: Faults) -> Iterator[Rig]:
    times = "clone_ms=20&start_ms=20&boot_ms=20&agent_ms=1&destroy_ms=1&copy_ms=20"
    parameters = f"hosts=2&slots=8&capacity=20&users=0&{times}"
    rig = Rig(tmp_path, parameters, wrap_host=faults.wrap).resume()
    rig.add_collection()
    yield rig
    rig.close()


def see(rig: Rig, guid: str, code: ReasonCode) -> tuple[Report, list[DesktopReport]]:
    """The first report with desktops that have that code, and those."""
    seen: list[tuple[Report, list[DesktopReport]]] = []

    def look() -> bool:
        report = rig.report(guid)
        found = [desktop for desktop in report.desktops if desktop.code == code]
        if found:
            seen.append((report, found))
        assert found or rig.job(guid).ended is None, f"it ended without {code}"
        return bool(found)

    rig.wait_until(look)
    return seen[0]


def see_line(
    rig: Rig, guid: str, code: ReasonCode, *names: str
) -> tuple[Report, list[DesktopReport]]:
    """The first report by which just these wait for that, in this order."""
    seen: list[tuple[Report, list[DesktopReport]]] = []

    def look() -> bool:
        seen[:] = [see(rig, guid, code)]
        line = [(one.name, one.position) for one in seen[0][1]]
        return line == [(name, position) for position, name in enumerate(names, 1)]

    rig.wait_until(look)
    return seen[0]


def see_foreseen(rig: Rig, guid: str, code: ReasonCode) -> tuple[Report, list[DesktopReport]]:
    """As ``see``, with how long, which is told once it is known whether the image is there."""
    seen: list[tuple[Report, list[DesktopReport]]] = []

    def look() -> bool:
        seen[:] = [see(rig, guid, code)]
        return all(one.seconds is not None for one in seen[0][1])

    rig.wait_until(look)
    return seen[0]


@contextmanager
def held(faults: Faults, call: str, *vms: str) -> Iterator[None]:
    """Such calls, for those VMs or all, go on at the end of the block: there is time to look."""
    go_on = threading.Event()

    def hold(name: str, vm: str) -> None:
        assert name != call or (vms and vm not in vms) or go_on.wait(60)

    faults.before = hold
    try:
        yield
    finally:
        go_on.set()


def codes(report: Report) -> dict[str, str]:
    return {desktop.name: desktop.code for desktop in report.desktops}


def test_others_on_the_host_come_first(rig: Rig, faults: Faults) -> None:
    rig.store.change_host_settings(HOST, lambda _: HostSettings(concurrency=1))
    rig.run(create([(HOST, 1)]))  # so that there is something measured
    with held(faults, "create_disk"):
        guid = rig.execute(later(JobAction.UPDATE, hosts=create(THREE).hosts))
        see_line(rig, guid, ReasonCode.HOST_BUSY, "pool-3", "pool-4")
        report, waiting = see_foreseen(rig, guid, ReasonCode.HOST_BUSY)
    assert "waits until others on host1.sim.local are done, of which 1 are" in waiting[0].reason
    assert report.end is not None
    assert report.end > report.started
    done = rig.wait(guid)
    assert done.end is None
    assert set(codes(done).values()) == {ReasonCode.AS_ASKED}


def test_a_host_is_away_and_the_job_waits_for_it(rig: Rig, faults: Faults) -> None:
    def go_down(call: str, vm: str) -> None:
        if (call, vm) == ("define", "pool-2") and (call, vm) not in faults.calls[:-1]:
            simulator.set_fault(rig.simulator, HOST, fault="down")

    rig.run(create([(HOST, 1)]))  # so that there is something measured
    faults.before = go_down
    guid = rig.execute(later(JobAction.UPDATE, hosts=create(THREE).hosts))
    report, waiting = see(rig, guid, ReasonCode.HOST_AWAY)
    assert HOST in waiting[0].reason
    assert report.end is None
    simulator.set_fault(rig.simulator, HOST)
    assert rig.wait(guid).succeeded == 3


def test_a_guest_boots(rig: Rig, faults: Faults) -> None:
    rig.run(create([(HOST, 1)]))
    with held(faults, "ping"):
        guid = rig.execute(later(JobAction.UPDATE, hosts=create([(HOST, 1)]).hosts))
        _, (booting, *_) = see(rig, guid, ReasonCode.GUEST_BOOTING)
    assert "agent" in booting.reason
    assert booting.seconds is not None
    rig.wait(guid)


def test_a_running_job_is_reported_without_reading_its_rows(
    rig: Rig, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(faults, "ping"), monkeypatch.context() as patched:
        guid = rig.execute(create(THREE))
        written, _ = see(rig, guid, ReasonCode.GUEST_BOOTING)
        patched.setattr(rig.store, "list_job_desktops", lambda guid: pytest.fail("they were read"))
        report = rig.report(guid)
    assert [desktop.name for desktop in report.desktops] == [one.name for one in written.desktops]
    assert rig.wait(guid).succeeded == 3


def test_a_guest_does_not_answer_any_more(rig: Rig, faults: Faults) -> None:
    faults.plan["set_identity", "pool-1"] = errors.GuestUnreachable("the agent is silent")
    guid = rig.execute(create([(HOST, 1)]))
    _, (silent,) = see(rig, guid, ReasonCode.GUEST_SILENT)
    assert silent.reason == "the agent is silent"
    faults.plan.clear()
    assert rig.wait(guid).succeeded == 1


def test_the_image_comes_first(rig: Rig, faults: Faults) -> None:
    tiny = rig.images.resolve("image:tiny")
    rig.store.add_image(replace(tiny, name="other"))
    with held(faults, "copy_image"):
        guid = rig.execute(create([(HOST, 2)], base_vm_location="image:other"))
        _, waiting = see(rig, guid, ReasonCode.IMAGE_COPY)
    assert "other@1" in waiting[0].reason
    assert waiting[0].position == 1
    assert rig.wait(guid).succeeded == 2


def test_who_brings_the_image_alone_waits_for_it_too(rig: Rig, faults: Faults) -> None:
    tiny = rig.images.resolve("image:tiny")
    rig.store.add_image(replace(tiny, name="other"))
    with held(faults, "copy_image"):
        guid = rig.execute(create([(HOST, 1)], base_vm_location="image:other"))
        report, (waiting,) = see(rig, guid, ReasonCode.IMAGE_COPY)
    assert (waiting.name, waiting.position) == ("pool-1", 1)
    assert report.end is None  # no image was ever copied to a host
    assert rig.wait(guid).succeeded == 1


FAILURES: dict[ReasonCode, Exception] = {
    ReasonCode.HOST_REFUSED: errors.OperationFailed("the disk is full of holes"),
    ReasonCode.OUT_OF_SPACE: errors.OutOfSpace("5 bytes are needed, 3 are free"),
    ReasonCode.DEFECT: RuntimeError("a defect of ours"),
}


@pytest.mark.parametrize("code", FAILURES)
def test_what_fails_says_why_and_so_does_what_it_stops(
    rig: Rig, faults: Faults, code: ReasonCode
) -> None:
    faults.plan["create_disk", "pool-2"] = FAILURES[code]
    report = rig.run(create(THREE))
    assert codes(report) == {
        "pool-1": ReasonCode.STOPPED_AT_ERROR,
        "pool-2": code,
        "pool-3": ReasonCode.STOPPED_AT_ERROR,
    }
    assert str(FAILURES[code]) in report.desktops[1].error
    goes_on = create([(HOST, 2), ("", 1)], on_error=OnError.CONTINUE, start_index=2)
    assert codes(rig.run(goes_on)) == {
        "pool-2": code,
        "pool-3": ReasonCode.AS_ASKED,
        "pool-4": ReasonCode.LEAST_LOADED,
    }


def test_a_cancelled_job_says_so_of_each(rig: Rig, faults: Faults) -> None:
    with held(faults, "ping"):
        guid = rig.execute(create(THREE))
        see(rig, guid, ReasonCode.GUEST_BOOTING)
        rig.provisioning.cancel(guid)
    assert set(codes(rig.wait(guid)).values()) == {ReasonCode.CANCELLED}


def test_a_job_that_cannot_be_planned_any_more_says_why(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FAST.replace("hosts=3", "hosts=1") + "&users=0&capacity=3")
    try:
        guids = []
        for alias in ("A", "B"):
            rig.add_collection(alias)
            document = create([("", 2)], collection=alias, name_prefix=f"{alias}-")
            guids.append(rig.execute(document))
        rig.resume()
        (refused,) = [one for one in map(rig.wait, guids) if not one.succeeded]
        assert refused.code == ReasonCode.NO_CAPACITY
        assert "host1.sim.local has room for 1 more" in refused.error
    finally:
        rig.close()


def begin_update(rig: Rig, **fields: Any) -> str:
    """Of the running desktops, to an image of another version."""
    tiny = rig.images.resolve("image:tiny")
    rig.store.add_image(replace(tiny, sha256="0" * 64))
    guid = rig.schedule(0, later(JobAction.PATCH, **fields)).guid
    rig.wait_until(lambda: rig.store.find_job(guid) is not None)
    return guid


def test_what_comes_later_in_an_update_waits_for_what_comes_first(rig: Rig, faults: Faults) -> None:
    rig.run(create([(HOST, 4)]))
    with ExitStack() as second_wave:
        with held(faults, "define"):
            guid = begin_update(rig, waves=(Share(1), ALL), max_unavailable=Share(1))
            line = ("pool-2", "pool-3", "pool-4")
            see_line(rig, guid, ReasonCode.EARLIER_WAVE, *line)
            _, later_ones = see_foreseen(rig, guid, ReasonCode.EARLIER_WAVE)
            second_wave.enter_context(held(faults, "define", "pool-2", "pool-3", "pool-4"))
        _, waiting = see_foreseen(rig, guid, ReasonCode.TOO_MANY_UNAVAILABLE)
    assert later_ones[0].reason == "waits until wave 1 is done and good"
    assert [one.position for one in waiting] == list(range(1, len(waiting) + 1))
    assert rig.wait(guid).succeeded == 4


def test_what_a_failed_wave_takes_back_says_so(rig: Rig, faults: Faults) -> None:
    faults.plan["run_command", "pool-2"] = errors.OperationFailed("no shell")
    rig.run(create([(HOST, 4)]))
    report = rig.wait(begin_update(rig, max_unavailable=Share(1), probe="true"))
    assert codes(report)["pool-1"] == ReasonCode.WAVE_FAILED
    assert codes(report)["pool-2"] == ReasonCode.HOST_REFUSED
    assert {disk.split(".")[-2] for (disk,) in rig.vms().values()} == {"1"}
