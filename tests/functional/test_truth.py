"""What a service makes of hosts that go away and of VMs that do not fit its records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from live.rollout import DESKTOP
from live.service import PASSWORD, Service, rdms, until
from live.slowdown import slowdown
from live.wire import Wire
from openrdms.adapters import simulator
from openrdms.model.host import DiskKind, Ownership, VmSpec

TIMES = "hosts=2&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5&destroy_ms=5&users=0"
HOST1 = "host1.sim.local"
UNKNOWN_WITHIN_S = 10.0
"""The bar for desktops of a host that is lost; a busy machine has as many times as it is slower."""

ServiceFactory = Callable[..., Service]


class Farm:
    """A service on two simulated hosts, and a second way to these past the service."""

    def __init__(self, service: Service, cluster: Path) -> None:
        self.service = service
        self.cluster = cluster
        hosts: Any = simulator.connect(f"simulator://{cluster}?{TIMES}")
        self.hosts = {host.name: host for host in hosts}
        password = service.state_dir.parent / "password"
        password.write_text(PASSWORD + "\n")
        self._password = password

    def run(self, *arguments: str) -> Any:
        state = self.service.state_dir
        return rdms(
            *arguments,
            environment={
                "PATH": "/usr/bin:/bin",
                "RDMS_READY_FILE": str(state / "ready.json"),
                "RDMS_CA": str(state / "tls" / "certificate.pem"),
                "RDMS_USER": "admin",
                "RDMS_PASSWORD_FILE": str(self._password),
                "RDMS_STATE_DIR": str(state),
            },
        )

    def create(self, alias: str, *options: str) -> Any:
        name = ("collection", "create", alias, "--prefix", f"{alias.lower()}-")
        return self.run(*name, "--image", "image:tiny", *options)

    def states(self) -> dict[str, int]:
        return {one["Name"]: one["VMState"] for one in self.run("desktop", "list")}

    def use(self, name: str) -> tuple[str, str]:
        """Use and reason of a desktop on record; ("", "") without a record."""
        query = "SELECT use, reason FROM desktop_uses WHERE name_key = ?"
        found = self.service.read_rows(query, name)
        return found[0] if found else ("", "")

    def end(self, guid: str) -> Any:
        """The report of a job that ends."""
        report = {}

        def has_ended() -> bool:
            report.update(self.run("job", "report", guid))
            return report["State"] in ("JOB_COMPLETED", "JOB_ABORTED")

        until("the job ends", has_ended)
        return report

    def fault(self, host: str, fault: str = "down") -> None:
        simulator.set_fault(self.cluster, host, fault=fault)

    def spec(self, name: str, host: str = HOST1) -> VmSpec:
        [image] = self.hosts[host].images()
        ours = Ownership("Old", "{JOB}", "tiny@1")
        return VmSpec(name, uuid4(), "52:54:00:00:00:01", image, DiskKind.LINKED, 1, ours)

    def make(self, name: str) -> None:
        """A whole VM of ours that no record knows."""
        self.hosts[HOST1].create_disk(self.spec(name))
        self.hosts[HOST1].define(self.spec(name))


def read_states(wire: Wire) -> list[str]:
    return [str(one["VMState"]) for one in wire.enumerate(DESKTOP)]


@pytest.fixture
def farm(services: ServiceFactory, tmp_path: Path) -> Iterator[Farm]:
    cluster = tmp_path / "cluster"
    service = services(tmp_path / "state", f"simulator://{cluster}?{TIMES}")
    farm = Farm(service, cluster)
    service.start()
    yield farm
    service.clear()


def test_a_host_that_goes_makes_its_desktops_unknown_and_its_jobs_wait(farm: Farm) -> None:
    farm.create("Both", "--host", "host1=2", "--host", "host2=2", "--wait")
    wire = farm.service.wire()
    with slowdown() as machine:
        farm.fault(HOST1)
        lost = time.monotonic()
        until("unknown", lambda: sorted(read_states(wire)) == ["0", "0", "2", "2"])
        seconds = time.monotonic() - lost
    print(f"unknown after {seconds:.1f} s, on a machine {machine.mean:.1f} times as slow")
    assert seconds < UNKNOWN_WITHIN_S * machine.mean
    waiting = farm.run("collection", "delete-desktops", "Both", "both-1", "both-3")
    other = farm.create("Else", "--host", "host2=10", "--wait")
    assert (other["State"], other["TotalSucceeded"]) == ("JOB_COMPLETED", 10)

    def waits() -> bool:
        report = farm.run("job", "report", waiting["JobGuid"])
        return "HostAway" in str(report) and report["TotalSucceeded"] == 1

    until("one waits and the other is gone", waits)
    farm.fault(HOST1, "")
    ended = farm.end(waiting["JobGuid"])
    assert ended["TotalSucceeded"] == 2
    until("known again", lambda: set(farm.states().values()) <= {2, 3, 6})
    assert farm.service.find_orphans() == []


def test_what_was_done_behind_the_services_back_is_set_apart_or_removed(farm: Farm) -> None:
    farm.create("Pool", "--host", "host1=2", "--no-start", "--wait")
    farm.service.stop()
    farm.make("unknown-1")
    farm.hosts[HOST1].create_disk(farm.spec("half-1"))
    farm.hosts[HOST1].undefine("pool-1")
    farm.service.start()
    until("lost", lambda: farm.use("pool-1")[1].startswith("VmLost:"))
    until("recorded", lambda: farm.use("unknown-1")[1].startswith("UnknownVm:"))
    disks = lambda: {one.name for one in farm.hosts[HOST1].list_leftovers() if one.kind == "disk"}  # noqa: E731
    until("removed", lambda: "half-1.1.qcow2" not in disks())
    until("dropped", lambda: farm.use("half-1") == ("", ""))
    apart = {one["name"]: one["code"] for one in farm.run("audit", "findings")}
    assert apart == {"pool-1": "VmLost", "unknown-1": "UnknownVm"}
    [orphan] = farm.service.find_orphans()
    assert (orphan["kind"], orphan["name"], orphan["code"]) == ("record", "pool-1", "VmLost")
    assert farm.hosts[HOST1].find_vm("unknown-1")


def test_a_service_killed_while_it_reconciles_goes_on_at_its_next_start(farm: Farm) -> None:
    farm.service.stop()
    for number in range(20):
        farm.hosts[HOST1].create_disk(farm.spec(f"half-{number}"))
        farm.make(f"kept-{number}")
    for pause in (0.0, 0.05, 0.1, 0.2):
        farm.service.start()
        time.sleep(pause)
        farm.service.kill()
    farm.service.start()
    recorded = "SELECT name FROM desktops ORDER BY name"
    names = sorted((f"kept-{number}",) for number in range(20))
    until("all are right", lambda: farm.service.read_rows(recorded) == names)
    until("no orphan", lambda: farm.service.find_orphans() == [], pause=0.5)
    assert len(farm.hosts[HOST1].list_vms()) == 20


def test_a_dead_host_is_given_up_and_what_it_brings_back_is_kept(farm: Farm) -> None:
    farm.create("Both", "--host", "host1=1", "--host", "host2=1", "--wait")
    farm.fault(HOST1)
    waiting = farm.run("collection", "delete-desktops", "Both")
    until("waits", lambda: "HostAway" in str(farm.run("job", "report", waiting["JobGuid"])))
    forgotten = [one["name"] for one in farm.run("host", "forget", "host1")]
    assert len(forgotten) == 1
    ended = farm.end(waiting["JobGuid"])
    assert (ended["TotalSucceeded"], ended["TotalFailed"]) == (1, 1)
    assert farm.run("desktop", "list") == []
    farm.create("New", "--host", "host2=1", "--wait")
    farm.fault(HOST1, "")
    until("it is back", lambda: farm.use(forgotten[0])[0] == "quarantined")
    assert farm.hosts[HOST1].find_vm(forgotten[0])
