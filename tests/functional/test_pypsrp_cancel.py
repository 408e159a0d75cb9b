"""Cancel of a running job of 200 desktops, against the bars of the project."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from conftest import ServiceFactory
from live.rollout import begin_create, cancel, collection_state, follow
from live.service import Service, rdms, until
from live.wire import Wire
from openrdms.model.job import PHASES, JobAction

DESKTOPS = 200
LATEST_STEP_S = 0.5
UNDONE_WITHIN_S = 20.0
MAKING_S = {"clone": 0.050, "start": 0.100}
"""What the simulator's operations take by default (clone_ms, start_ms)."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cancel")


@pytest.fixture(scope="module")
def service(place: Path, running_service: ServiceFactory) -> Service:
    """On the simulator's own latencies: 10 hosts, 2 slots each."""
    return running_service(place / "state", f"simulator://{place}/cluster")


def count_begun(cluster: Path) -> dict[str, int]:
    """How many operations of each kind have begun, from the simulator's own log of attempts."""
    file = (cluster / "state.sqlite").as_uri()
    with closing(sqlite3.connect(f"{file}?mode=ro", uri=True, timeout=10)) as state:
        begun = dict(state.execute("SELECT kind, sum(count) FROM attempts GROUP BY kind"))
        (begun["define"],) = state.execute("SELECT count(*) FROM vms").fetchone()
    return begun


def find_late_operations(cluster: Path, limit: float) -> list[tuple[str, str]]:
    """Operations that make something and wait for a slot that is free only after ``limit``."""
    file = (cluster / "state.sqlite").as_uri()
    with closing(sqlite3.connect(f"{file}?mode=ro", uri=True, timeout=10)) as state:
        rows = state.execute("SELECT vm, kind, ends FROM operations").fetchall()
    return [(vm, kind) for vm, kind, ends in rows if ends - MAKING_S.get(kind, ends) > limit]


def read_intents(service: Service, guid: str) -> list[int]:
    """How far each desktop was to go, from the service's records: 0 for not at all."""
    query = "SELECT intended FROM job_desktops WHERE job = ? ORDER BY ordinal"
    phases = ["", *PHASES[JobAction.CREATE]]
    return [phases.index(intended or "") for (intended,) in service.read_rows(query, guid)]


@pytest.mark.parametrize("moment", ["clone", "define", "start"])
def test_cancel_of_200_desktops(service: Service, place: Path, moment: str) -> None:
    wire, cluster = service.wire(), place / "cluster"
    before = count_begun(cluster).get(moment, 0)
    guid = begin_create(wire, f"big{moment}", DESKTOPS)
    until(
        f"half of all desktops are at {moment}",
        lambda: count_begun(cluster).get(moment, 0) - before > DESKTOPS / 2,
        pause=0.01,
    )

    asked = time.monotonic()
    limit = time.time() + LATEST_STEP_S
    assert cancel(wire, guid) == 0
    assert find_late_operations(cluster, limit) == []
    time.sleep(max(0.0, asked + LATEST_STEP_S - time.monotonic()))
    begun, intents = count_begun(cluster), read_intents(service, guid)
    took = wait_for_abort(wire, f"big{moment}", asked)
    print(f"undone {took:.2f} s after the cancel")

    now = count_begun(cluster)
    assert [now.get(kind) for kind in MAKING_S] == [begun.get(kind) for kind in MAKING_S]
    # what had not begun on a host is taken off the records again, but nothing is put there
    after = zip(read_intents(service, guid), intents, strict=True)
    assert all(now <= before for now, before in after)
    assert took <= UNDONE_WITHIN_S
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
        assert time.monotonic() < since + 30
        time.sleep(0.02)
        seen = {collection_state(wire, alias)}
    return time.monotonic() - since


def assert_nothing_is_left(service: Service, cluster: Path) -> None:
    """By the simulator's truth and by our audit."""
    hosts = rdms("simulator", "state", cluster)["hosts"]
    assert [(host["disks"], host["vms"]) for host in hosts] == [([], [])] * 10
    assert service.find_orphans() == []
