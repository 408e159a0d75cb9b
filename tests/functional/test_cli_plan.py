"""Commands that tell before they do, and those about hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from functional.test_cli import TIMES, Rdms
from live.service import PASSWORD, Service
from openrdms.cli.rdms_client import Login, RdmsClient
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import JobDocument, OnError, render_job

ServiceFactory = Callable[..., Service]


@pytest.fixture(scope="module")
def rdms(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Rdms:
    place = tmp_path_factory.mktemp("plan")
    uri = f"simulator://{place}/cluster?hosts=2&capacity=50&users=0&{TIMES}"
    return Rdms(running_service(place / "state", uri))


MAKE = ("collection", "create", "Pool", "--alias", "pool", "--prefix", "d-")
OF_TINY = ("--image", "image:tiny", "--count", "4")


@pytest.fixture
def pool(rdms: Rdms) -> Iterator[str]:
    rdms.read(*MAKE, *OF_TINY, "--wait")
    yield "pool"
    assert rdms.run("collection", "delete", "pool", "--desktops").exit_code == 0


def names(found: Any) -> list[str]:
    return [one["VirtualDesktopName"] for one in found["Desktops"]]


def test_a_collection_is_planned_before_it_is_created(rdms: Rdms) -> None:
    planned = rdms.read(*MAKE, *OF_TINY, "--dry-run")
    assert names(planned) == ["d-1", "d-2", "d-3", "d-4"]
    assert [(host["HostName"], host["Desktops"]) for host in planned["Hosts"]] == [
        ("host1.sim.local", 2),
        ("host2.sim.local", 2),
    ]
    assert rdms.read("collection", "list") == []
    assert rdms.truth() == {}
    shown = rdms.run(*MAKE, *OF_TINY, "--dry-run").stdout
    assert "host1.sim.local: 2 desktops; 512 KiB to " in shown
    assert "LeastLoaded" in shown
    words = rdms.refuse(1, *MAKE, "--image", "image:tiny", "--count", "101", "--dry-run")
    assert "would be refused: NumberVms: host1.sim.local has room for 50 more" in words
    assert "(NoCapacity)" in words


def test_every_change_by_a_job_can_be_planned(rdms: Rdms, pool: str, tmp_path: Path) -> None:
    before = rdms.truth()
    added = rdms.read("collection", "extend", pool, "--count", "2", "--dry-run")
    assert names(added) == ["d-5", "d-6"]
    assert added["EstimateSeconds"] >= 0
    assert added["EstimateBasis"].startswith("measured: ")
    recreate = ("collection", "recreate", pool, "--image", "image:tiny", "--dry-run")
    assert len(names(rdms.read(*recreate))) == 4
    assert names(rdms.read("collection", "delete-desktops", pool, "d-2", "--dry-run")) == ["d-2"]
    assert len(names(rdms.read("collection", "delete", pool, "--desktops", "--dry-run"))) == 4
    words = rdms.refuse(1, "collection", "delete", pool, "--dry-run")
    assert "collection 'pool' has desktops" in words
    assert words.endswith(" (NotNow)\n")
    document = JobDocument(
        action=JobAction.DELETE,
        on_error=OnError.STOP,
        collection=pool,
        disk_kind=DiskKind.LINKED,
        selected=("d-1", "d-3"),
    )
    file = tmp_path / "job.xml"
    file.write_text(render_job(document), encoding="utf-16")
    assert names(rdms.read("job", "plan", str(file))) == ["d-1", "d-3"]
    assert names(rdms.read("job", "submit", str(file), "--dry-run")) == ["d-1", "d-3"]
    assert rdms.truth() == before
    assert rdms.read("job", "list", "--running") == []


def test_every_other_change_can_be_planned(rdms: Rdms, pool: str, tmp_path: Path) -> None:
    before = rdms.truth()
    hosts = {one["Name"]: one["HostName"] for one in rdms.read("desktop", "list")}
    first, second = "host1.sim.local", "host2.sim.local"
    here = sorted(name for name, host in hosts.items() if host == first)
    moved = rdms.read("desktop", "move", here[0], "host2", "--dry-run")
    assert [(one["HostName"], one["Desktops"]) for one in moved["Hosts"]] == [(second, 1)]
    words = rdms.refuse(1, "desktop", "move", here[0], "host9", "--dry-run")
    assert "PlanMove returned 0x80041002 (WBEM_E_NOT_FOUND)" in words
    assert words.endswith(" (NotAsAsked)\n")
    drained = rdms.read("host", "drain", "host1", "--dry-run")
    assert {one["HostName"] for one in drained["Desktops"]} == {second}
    assert names(drained) == here
    assert names(rdms.read("host", "drain", "host1", "--off", "--dry-run")) == []
    assert [one["drain"] for one in rdms.read("host", "list")] == [False, False]
    assert "answers" in rdms.refuse(1, "host", "forget", "host1", "--dry-run")
    assert "in nobody's way" in rdms.refuse(1, "pool", "release", "d-1", "--dry-run")
    assert "is kept for " in rdms.refuse(1, "image", "remove", "tiny", "--dry-run")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    rdms.read("image", "import", str(disk), "--name", "spare")
    [removal] = rdms.read("image", "remove", "spare", "--dry-run")
    assert removal["freed_bytes"] > 0
    [removed] = rdms.read("image", "remove", "spare")
    assert removed == removal
    prepared = rdms.read("job", "prepare", hosts["d-1"], "d-1", "exported", "--dry-run")
    assert (names(prepared), prepared["Image"]) == (["d-1"], "prep-d-1")
    assert rdms.truth() == before
    assert len(rdms.read("job", "list")) == len(rdms.read("job", "list", "--collection", pool))


def test_an_update_is_planned_with_its_times(rdms: Rdms, pool: str) -> None:
    update = ("collection", "update", pool, "image:tiny", "--dry-run", "--start", "2090-01-02")
    assert len(names(rdms.read(*update))) == 4
    assert len(names(rdms.read(*update, "--force-logoff", "2090-01-03"))) == 4
    words = rdms.refuse(1, *update, "--force-logoff", "2090-01-01")
    assert "would be refused: ForceLogOffTime: is before StartTime (NotAsAsked)" in words
    planned = (*update[:4], *update[5:])
    rdms.read(*planned)
    assert "UPDATE_SCHEDULED (NotNow)" in rdms.refuse(1, *update)
    assert rdms.run("collection", "cancel-update", pool).exit_code == 0


def test_a_report_says_why(rdms: Rdms, pool: str) -> None:
    guid = rdms.read("job", "status", pool)["JobGuid"]
    first = rdms.read("job", "report", guid)["VmStatus"][0]
    assert (first["ReasonCode"], first["Position"]) == ("LeastLoaded", None)
    shown = rdms.run("job", "report", guid).stdout
    assert "on the host that had most to spare" in shown
    words = rdms.refuse(1, "collection", "extend", pool, "--count", "200")
    assert "NumberVms: host1.sim.local has room for 48 more" in words
    assert words.endswith(" (NoCapacity)\n")


def test_hosts_are_set_over_ws_management(rdms: Rdms) -> None:
    ready = json.loads(Path(rdms.environment["RDMS_READY_FILE"]).read_text())
    login = Login(ready["wsman_https"], "admin", PASSWORD, Path(rdms.environment["RDMS_CA"]))
    with RdmsClient(login) as client:
        first, second = client.enumerate("OpenRDMS_Host")
        keys = {"Name": first["Name"]}
        client.invoke("OpenRDMS_Host", "SetConcurrencyFactor", keys, ConcurrencyFactor=7)
        assert client.get("OpenRDMS_Host", keys) == first | {"ConcurrencyFactor": 7}
        client.invoke("OpenRDMS_Host", "SetConcurrencyFactor", keys, ConcurrencyFactor=None)
        where = "Name = 'HOST2.sim.local'"
        assert list(client.enumerate("OpenRDMS_Host", where)) == [second]
        assert client.get("OpenRDMS_Host", keys) == first


def test_hosts_are_shown_and_set(rdms: Rdms, pool: str) -> None:
    first, second = rdms.read("host", "list")
    assert (first["name"], first["desktops"], first["degraded"]) == ("host1.sim.local", 2, False)
    assert (first["concurrency"], first["idle_count"]) == (None, None)
    set_host = ("host", "set", "host1", "--concurrency", "5", "--idle-count", "2")
    assert rdms.read(*set_host)["idle_count"] == 2
    changed, untouched = rdms.read("host", "list")
    assert (changed["concurrency"], changed["idle_count"]) == (5, 2)
    assert untouched == second
    rdms.read("host", "set", "host1", "--concurrency", "auto")
    again = rdms.read("host", "set", "host1", "--idle-count", "auto")
    assert (again["concurrency"], again["idle_count"]) == (None, None)
    assert "ConcurrencyFactor: 101" in rdms.refuse(
        1, "host", "set", "host1", "--concurrency", "101"
    )
    rdms.refuse(2, "host", "set", "host1", "--concurrency", "many")
    rdms.refuse(2, "host", "set", "host1")
