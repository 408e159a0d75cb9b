"""Cancel of a running job of 200 desktops, against the bars of the project."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from conftest import ServiceFactory
from live import beginnings
from live.rollout import begin_create, cancel, collection_state, follow
from live.service import Service, rdms, until
from live.slowdown import slowdown
from live.wire import Wire
from openrdms.model.job import PHASES, JobAction

DESKTOPS = 200
LATEST_STEP_S = 0.5
"""After this nothing new begins; on a machine that is busy as many times later as it is slower."""
UNDONE_WITHIN_S = 5.0
MAKING_S = {"clone": 0.050, "define": 0.0, "start": 0.100}
"""What the simulator's operations take by default (clone_ms, start_ms)."""
PHASES_IN_ORDER = ["", *PHASES[JobAction.CREATE]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cancel")


@pytest.fixture(scope="module")
def service(place: Path, running_service: ServiceFactory) -> Service:
    """On the simulator's own latencies: 10 hosts, 2 slots each."""
    return running_service(place / "state", f"simulator://{place}/cluster")


@pytest.fixture(scope="module")
def _recorded(service: Service, place: Path) -> None:
    beginnings.record_on_hosts(place / "cluster")
    beginnings.record_intents(service.state_dir / "records.sqlite")


def count_begun(cluster: Path, kind: str) -> int:
    return sum(one == kind for one, *_ in beginnings.read_on_hosts(cluster))


def find_late(service: Service, cluster: Path, limit: float) -> list[str]:
    """What began after ``limit``: on a host, where calls may wait for a slot, or by the records."""
    made = (
        (vm, kind, max(at, ends - MAKING_S[kind]))
        for kind, vm, at, ends in beginnings.read_on_hosts(cluster)
        if kind in MAKING_S
    )
    moved = (
        (name, after, at)
        for name, before, after, at in beginnings.read_intents(service.state_dir / "records.sqlite")
        if PHASES_IN_ORDER.index(after) > PHASES_IN_ORDER.index(before)
    )
    return [f"{what} of {name}" for name, what, at in (*made, *moved) if at > limit]


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize("moment", ["clone", "define", "start"])
def test_cancel_of_200_desktops(service: Service, place: Path, moment: str) -> None:
    wire, cluster = service.wire(), place / "cluster"
    before = count_begun(cluster, moment)
    guid = begin_create(wire, f"big{moment}", DESKTOPS)
    until(
        f"half of all desktops are at {moment}",
        lambda: count_begun(cluster, moment) - before > DESKTOPS / 2,
        pause=0.01,
    )

    with slowdown() as machine:
        asked, begun = time.time(), time.monotonic()
        assert cancel(wire, guid) == 0
        took = wait_for_abort(wire, f"big{moment}", begun)
    print(f"undone {took:.2f} s after the cancel, on a machine {machine.worst:.1f} times as slow")

    assert find_late(service, cluster, asked + LATEST_STEP_S * machine.worst) == []
    assert took <= UNDONE_WITHIN_S * machine.mean
    assert_nothing_is_left(service, cluster)
    report = follow(wire, guid)
    assert (report.state, report.requested) == ("JOB_ABORTED", DESKTOPS)
    assert set(report.statuses.values()) == {"Cancelled"}
    assert sum("disk" in undone for undone in report.undone.values()) > DESKTOPS / 2


def wait_for_abort(wire: Wire, alias: str, since: float) -> float:
    """Seconds until the collection shows JOB_ABORTED; until then CANCEL_INPROGRESS."""
    seen = {collection_state(wire, alias)}
    while 12 not in seen:
        assert seen == {11}
        assert time.monotonic() < since + 60
        time.sleep(0.02)
        seen = {collection_state(wire, alias)}
    return time.monotonic() - since


def assert_nothing_is_left(service: Service, cluster: Path) -> None:
    """By the simulator's truth and by our audit."""
    hosts = rdms("simulator", "state", cluster)["hosts"]
    assert [(host["disks"], host["vms"]) for host in hosts] == [([], [])] * 10
    assert service.find_orphans() == []
