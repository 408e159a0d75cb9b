"""Our own classes in root/openrdms, over both protocols' object manager."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pywbem

from fakes.cimxml_client import connect
from fakes.guards import OpenGuard
from fakes.new_records import open_records
from openrdms.adapters import simulator
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.object_manager import ObjectManager
from openrdms.cim.provider import Caller, MethodResult
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.model.errors import HostUnavailable, WbemCode
from openrdms.model.host import HostSettings
from openrdms.providers import schema
from openrdms.providers.interop import Server
from openrdms.providers.namespaces import make_namespaces
from openrdms.providers.openrdms import HostProvider
from openrdms.services.host_health import HostHealth
from openrdms.services.host_states import HostStates
from openrdms.services.hosts import Hosts

CALLER = Caller("admin", "127.0.0.1", "administrator")
HOST = "OpenRDMS_Host"
FIRST = {"Name": "host1.sim.local"}


class World:
    """Two simulated hosts; ``degraded`` are to be spared."""

    def __init__(self, place: Path) -> None:
        self.store = open_records(place / "records.sqlite")
        self.cluster = place / "sim"
        self.hosts = Hosts(simulator.connect(f"simulator://{self.cluster}?hosts=2&capacity=7"))
        self.health = HostHealth(self.hosts, lambda: datetime.now(UTC))
        self.degraded: set[str] = set()
        self.states = HostStates(
            self.store, self.hosts, self.health, lambda host: host in self.degraded
        )
        provider = HostProvider(self.states)
        self.manager = ObjectManager(schema.load_openrdms(), {HOST: provider}, OpenGuard())

    def get(self, name: str = FIRST["Name"]) -> dict[str, object]:
        return dict(self.manager.get(CALLER, HOST, {"Name": name}).properties)

    def invoke(self, method: str, **given: int | None) -> MethodResult:
        return self.manager.invoke(CALLER, HOST, method, FIRST, given)

    def close(self) -> None:
        self.health.close()
        self.hosts.close()
        self.store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_a_host_as_it_is(world: World) -> None:
    found = world.get("HOST1")
    assert {name: found[name] for name in ("Name", "Reachable", "Degraded", "Reason")} == {
        **FIRST,
        "Reachable": True,
        "Degraded": False,
        "Reason": "",
    }
    assert (found["Accelerator"], found["Capacity"], found["Desktops"]) == ("simulated", 7, 0)
    assert (found["ConcurrencyFactor"], found["IdleVmCount"]) == (None, None)
    names = [one.properties["Name"] for one in world.manager.enumerate(CALLER, HOST, {})]
    assert names == ["host1.sim.local", "host2.sim.local"]


def test_why_a_host_is_spared(world: World) -> None:
    world.degraded.add(FIRST["Name"])
    assert world.get()["Degraded"] is True
    assert "takes much longer than others" in str(world.get()["Reason"])
    simulator.set_fault(world.cluster, FIRST["Name"], fault="down")
    world.health.note_failure(FIRST["Name"], HostUnavailable("connection refused"))
    found = world.get()
    assert (found["Reachable"], found["Degraded"]) == (False, False)
    assert found["Reason"] == "connection refused"


def test_what_is_set_is_kept_told_and_taken_back(world: World) -> None:
    told: list[tuple[str, HostSettings]] = []
    world.states.subscribe(lambda host, settings: told.append((host, settings)))
    assert world.invoke("SetConcurrencyFactor", ConcurrencyFactor=12).return_value == 0
    assert world.invoke("SetIdleVmCount", IdleVmCount=0).return_value == 0
    assert (world.get()["ConcurrencyFactor"], world.get()["IdleVmCount"]) == (12, 0)
    assert told == [(FIRST["Name"], HostSettings(12)), (FIRST["Name"], HostSettings(12, 0))]
    assert world.invoke("SetConcurrencyFactor", ConcurrencyFactor=None).return_value == 0
    assert (world.get()["ConcurrencyFactor"], world.get()["IdleVmCount"]) == (None, 0)


@pytest.mark.parametrize("factor", [0, 101])
def test_a_concurrency_factor_is_from_1_to_100(world: World, factor: int) -> None:
    refused = world.invoke("SetConcurrencyFactor", ConcurrencyFactor=factor)
    assert refused.return_value == WbemCode.INVALID_PARAMETER
    assert refused.reason.startswith("ConcurrencyFactor: ")
    assert world.get()["ConcurrencyFactor"] is None


def test_an_unknown_host_is_a_fault(world: World) -> None:
    with pytest.raises(CimError) as caught:
        world.get("host9")
    assert caught.value.status is CimStatus.NOT_FOUND


def test_over_cim_xml(world: World) -> None:
    provider = HostProvider(world.states)
    server = Server("broker.test", "1.2.3")
    namespaces = make_namespaces({}, [], [], [provider], OpenGuard(), server)
    connection = connect(CimXmlServer(namespaces))
    path = connection.EnumerateInstanceNames(HOST, namespace=schema.OPENRDMS)[0]
    parameters = [("ConcurrencyFactor", pywbem.Uint8(3))]
    assert connection.InvokeMethod("SetConcurrencyFactor", path, parameters)[0] == 0
    assert connection.GetInstance(path)["ConcurrencyFactor"] == 3
    nothing = [pywbem.CIMParameter("ConcurrencyFactor", "uint8", value=None)]
    assert connection.InvokeMethod("SetConcurrencyFactor", path, nothing)[0] == 0
    assert connection.GetInstance(path)["ConcurrencyFactor"] is None
