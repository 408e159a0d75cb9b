"""Pools as administrators see them: a running service, by command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import ServiceFactory
from live.rollout import begin_create, follow
from live.service import Service, rdms, run_rdms, until
from openrdms.adapters import simulator

HOST = "host1.sim.local"
TIMES = "clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5&destroy_ms=5&users=0"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pool-commands")


@pytest.fixture(scope="module")
def service(place: Path, running_service: ServiceFactory) -> Service:
    cluster = f"simulator://{place}/cluster?hosts=1&{TIMES}"
    service = running_service(place / "state", cluster, options=("--boot-timeout", "4"))
    wire = service.wire()
    assert follow(wire, begin_create(wire, "pool", 5, host=HOST)).state == "JOB_COMPLETED"
    return service


def login(service: Service) -> list[str]:
    state = service.state_dir
    return [
        *("--ready-file", str(state / "ready.json"), "--user", "admin"),
        *("--ca", str(state / "tls" / "certificate.pem")),
        *("--password-file", str(state / "admin-password")),
    ]


def run(service: Service, *arguments: str) -> Any:
    return rdms(*arguments, *login(service))


def print_table(service: Service, *arguments: str) -> str:
    """What people read."""
    done = run_rdms([*arguments, *login(service)])
    assert done.returncode == 0, done.stderr
    return done.stdout


def show(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = run(service, "pool", "show", "pool")
    return found


def test_a_pool_from_logon_to_reset(service: Service, place: Path) -> None:
    until("all are ready", lambda: show(service)["Ready"] == 5)
    found = show(service)
    assert (found["HostNames"], found["RunningSpares"], found["SavedSpares"]) == ([HOST], [5], [0])
    assert [pool["CollectionAlias"] for pool in run(service, "pool", "list")] == ["pool"]
    told = print_table(service, "pool", "show", "pool").splitlines()
    assert told[1].split() == ["CollectionType", "pooled"]
    assert [line.split() for line in told[-2:]] == [
        ["HostName", "Running", "Saved"],
        [HOST, "5", "0"],
    ]
    simulator.log_on(place / "cluster", HOST, "pool-1", "alice")
    until("she has it", lambda: show(service)["Taken"] == 1)
    simulator.log_off(place / "cluster", HOST, "pool-1", "alice")
    until("it is made fresh", lambda: show(service)["Ready"] == 5)
    assert service.find_orphans() == []


def test_a_desktop_is_brought_back(service: Service, place: Path) -> None:
    until("all are ready", lambda: show(service)["Ready"] == 5)
    simulator.log_on(place / "cluster", HOST, "pool-2", "bob")
    until("he has it", lambda: show(service)["Taken"] == 1)
    refused = run_rdms(["pool", "release", "pool-2", *login(service)])
    assert refused.returncode == 1
    assert "bob would be logged off pool-2" in refused.stderr
    assert show(service)["Taken"] == 1
    run(service, "pool", "release", "pool-2", "--force")
    until("all are ready", lambda: show(service)["Ready"] == 5)
    assert run(service, "session", "list") == []


def test_a_pool_without_a_working_guest_stops_until_it_is_let_go_on(
    service: Service, place: Path
) -> None:
    until("all are ready", lambda: show(service)["Ready"] == 5)
    state_dir = ("--state-dir", service.state_dir)
    rdms("host", "set", HOST, "--concurrency", "1", *state_dir)  # each gets its own seconds
    names = [f"pool-{number}" for number in range(1, 6)]
    for name in names:
        simulator.log_on(place / "cluster", HOST, name, "carol")
    until("all are taken", lambda: show(service)["Taken"] == 5)
    for name in names:
        simulator.set_fault(place / "cluster", HOST, name, "no-agent")
        simulator.log_off(place / "cluster", HOST, name, "carol")
    until("the pool stops", lambda: show(service)["Stopped"])
    assert "did not answer" in show(service)["Reason"]
    for name in names:
        simulator.set_fault(place / "cluster", HOST, name, "")
    run(service, "pool", "reset-breaker", "pool")
    until("all are ready", lambda: show(service)["Ready"] == 5)
