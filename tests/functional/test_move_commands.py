"""A desktop moves and a host is emptied: by commands, the REST API and the interface of RDMS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import ServiceFactory
from live.api import ApiClient, make_token
from live.rollout import begin_create, follow
from live.service import Service, rdms, until
from live.wire import WINDOWS, Wire

FAST = "slots=8&clone_ms=2&start_ms=2&boot_ms=10&agent_ms=1&destroy_ms=1&save_ms=2&users=0"
ONE, TWO = "host1.sim.local", "host2.sim.local"


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    directory = tmp_path_factory.mktemp("moves")
    service = running_service(directory / "state", f"simulator://{directory}/sim?hosts=2&{FAST}")
    wire = service.wire()
    follow(wire, begin_create(wire, "moves", 2))
    return service


@pytest.fixture
def api(service: Service) -> Iterator[ApiClient]:
    with ApiClient(service, make_token(service)) as client:
        yield client


def host_of(api: ApiClient, name: str) -> str:
    return str(api.ask("GET", f"/desktops/{name}")["host"])


def other(host: str) -> str:
    return TWO if host == ONE else ONE


def test_by_the_interface_of_rdms(service: Service, api: ApiClient) -> None:
    wire = Wire(service.client(), f"{WINDOWS.removesuffix('rdms/')}terminalservices/")
    target = other(host_of(api, "moves-1"))
    call = ("Win32_RDVHManagement", "RdvMigrateVmToDifferentHost")
    assert wire.invoke(*call, DestinationHost=target, VmName="moves-1").return_value == 0
    assert host_of(api, "moves-1") == target
    refused = wire.invoke(*call, DestinationHost="host9", VmName="moves-1")
    assert refused.return_value != 0
    assert "host9" in refused.reason


def test_by_the_rest_api(api: ApiClient) -> None:
    target = other(host_of(api, "moves-2"))
    plan = api.ask("POST", "/desktops/moves-2/move/plan", json={"host": target})
    assert (plan["action"], plan["desktops"][0]["host"]) == ("move", target)
    assert host_of(api, "moves-2") == other(target)
    assert api.ask("POST", "/desktops/moves-2/move", json={"host": target})["host"] == target
    refused = api.ask("POST", "/desktops/moves-2/move", 404, json={"host": "host9"})
    assert api.ask("POST", "/desktops/moves-2/move/plan", 404, json={"host": "host9"}) == refused
    for path in ("release", "release/plan"):
        refused = api.ask("POST", f"/desktops/moves-2/{path}", 409, json={"force": True})
        assert refused["reason"] == "NotNow"
    api.ask("POST", "/desktops/moves-9/move", 404, json={"host": target})


def test_by_a_command(service: Service, api: ApiClient) -> None:
    target = other(host_of(api, "moves-1"))
    environment = {
        "RDMS_URL": service.ready["wsman_https"],
        "RDMS_USER": "admin",
        "RDMS_PASSWORD_FILE": str(service.state_dir / "admin-password"),
        "RDMS_CA": str(service.state_dir / "tls/certificate.pem"),
        "PATH": "/usr/bin",
    }
    rdms("desktop", "move", "moves-1", target, environment=environment)
    assert host_of(api, "moves-1") == target


def test_a_host_is_emptied(service: Service, api: ApiClient) -> None:
    state = ("--state-dir", service.state_dir)
    plan = api.ask("POST", "/hosts/host2/drain/plan")
    assert {one["host"] for one in plan["desktops"]} <= {ONE}
    assert rdms("host", "drain", "host2", *state)["drain"] is True
    until("all is on host1", lambda: api.ask("GET", "/hosts/host2")["desktops"] == 0)
    assert {host_of(api, "moves-1"), host_of(api, "moves-2")} == {ONE}
    assert api.ask("PATCH", "/hosts/host2", json={"drain": False})["settings"]["drain"] is False
    assert service.find_orphans() == []
