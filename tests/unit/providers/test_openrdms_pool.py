"""OpenRDMS_Pool over the object manager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.brokering_rig import BrokeringRig, open_brokering_rig
from fakes.guards import OpenGuard
from fakes.small_deployment import HOST1
from openrdms.adapters import simulator
from openrdms.cim.errors import CimError
from openrdms.cim.object_manager import ObjectManager
from openrdms.cim.provider import Caller, MethodResult
from openrdms.cim.types import CimValue
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import Use
from openrdms.model.errors import WbemCode
from openrdms.providers import schema
from openrdms.providers.openrdms import PoolProvider, PoolServices
from openrdms.services.pools import Pools
from openrdms.services.preparation import Preparation
from openrdms.services.releasing import Releasing
from openrdms.services.sessions import Sessions

CALLER = Caller("admin", "127.0.0.1", "administrator")
POOL = "OpenRDMS_Pool"
ANN = {"UserName": "ann", "UserDomain": "CORP"}


class World:
    """One READY desktop in the collection "pool", and ann."""

    def __init__(self, rig: BrokeringRig) -> None:
        self.rig = rig
        store, hosts = rig.place.store, rig.place.hosts
        rig.add_collection("pool", CollectionType.POOLED)
        rig.add_ready("vd-1")
        rig.add_user("ann")
        preparation = Preparation(store, hosts, rig.images, rig.uses, rig.tokens, 30.0)
        pools = Pools(store, hosts, rig.health, rig.uses, preparation, rig.clock)
        sessions = Sessions(store, hosts)
        releasing = Releasing(store, hosts, rig.uses)
        services = PoolServices(store, pools, rig.watch, rig.brokering, releasing, sessions)
        provider = PoolProvider(services)
        self.manager = ObjectManager(schema.load_openrdms(), {POOL: provider}, OpenGuard())

    def get(self, alias: str) -> dict[str, CimValue]:
        return dict(self.manager.get(CALLER, POOL, {"CollectionAlias": alias}).properties)

    def invoke(self, method: str, alias: str = "pool", **given: CimValue) -> MethodResult:
        return self.manager.invoke(CALLER, POOL, method, {"CollectionAlias": alias}, given)

    def release(self, name: str, force: bool | None = None) -> MethodResult:
        given = {"VMName": name, "Force": force}
        return self.manager.invoke(CALLER, POOL, "ReleaseDesktop", {}, given)

    def connect(
        self, name: str | None, domain: str | None = None, wait: int | None = None
    ) -> MethodResult:
        return self.invoke("Connect", UserName=name, UserDomain=domain, WaitSeconds=wait)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_brokering_rig(tmp_path) as rig:
        yield World(rig)


def test_a_pool_is_counted(world: World) -> None:
    shown = world.get("POOL")
    counted = {name: shown[name] for name in ("CollectionAlias", "Ready", "Taken", "Waiting")}
    assert counted == {"CollectionAlias": "pool", "Ready": 1, "Taken": 0, "Waiting": 0}
    assert (shown["Stopped"], shown["Reason"]) == (False, "")
    [one] = world.manager.enumerate(CALLER, POOL, {})
    assert one.properties["CollectionAlias"] == "pool"
    with pytest.raises(CimError, match="no collection 'nowhere'"):
        world.get("nowhere")


def test_connect_gives_a_desktop_or_says_what_is_waited_for(world: World) -> None:
    given = world.connect("ann", "CORP").outputs
    assert {name: value for name, value in given.items() if value is not None} == {
        "VMName": "vd-1",
        "VMHostName": HOST1,
        "How": "spare",
    }
    world.rig.add_user("bob")
    waiting = world.connect("bob").outputs
    assert (waiting["ReasonCode"], waiting["Position"]) == ("NoDesktopLeft", 1)
    assert waiting.get("VMName") is None
    assert world.invoke("Release", **ANN).return_value == 0
    assert world.rig.use("vd-1").use is Use.UNREADY


def test_what_is_refused_has_its_reason(world: World) -> None:
    for code, words, name, wait in (
        (WbemCode.NOT_FOUND, "no account", "eve", 0),
        (WbemCode.INVALID_PARAMETER, "WaitSeconds", "ann", 21),
        (WbemCode.INVALID_PARAMETER, "UserName", None, 0),
    ):
        refused = world.connect(name, wait=wait)
        assert refused.return_value == code
        assert words in refused.reason
    nothing = world.invoke("SendMessage", Title="", Message=None)
    assert nothing.return_value == WbemCode.INVALID_PARAMETER
    with pytest.raises(CimError):
        world.invoke("Release", "nowhere", **ANN)


def test_a_message_has_a_result_for_each_session(world: World) -> None:
    simulator.log_on(world.rig.place.path, HOST1, "vd-1", "ann")
    sent = world.invoke("SendMessage", Title="Note", Message="Hello").outputs
    assert (sent["VMNames"], sent["UserNames"]) == (["vd-1"], ["ann"])
    assert (sent["Results"], sent["Reasons"]) == ([0], [""])
    assert world.invoke("ResetBreaker").return_value == 0


def test_a_method_counts_no_desktops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(*_: object) -> None:
        raise AssertionError("desktops were counted")

    monkeypatch.setattr(Pools, "count_spares", count)
    assert world.connect("ann", "CORP").outputs["VMName"] == "vd-1"


def test_a_desktop_with_somebody_on_it_is_released_by_force(world: World) -> None:
    world.connect("ann", "CORP")
    session = (world.rig.place.path, HOST1, "vd-1", "ann")
    simulator.log_on(*session)
    refused = world.release("vd-1")
    assert refused.return_value == WbemCode.INVALID_OPERATION
    assert "ann would be logged off vd-1, which needs Force" in refused.reason
    assert world.rig.use("vd-1").use is Use.TAKEN
    assert world.release("vd-1", force=True).return_value == 0
    assert world.rig.use("vd-1").use is Use.UNREADY
    assert world.rig.place.hosts.get(HOST1).guest("vd-1").list_sessions(5) == []
    assert "is unready" in world.release("vd-1").reason
    assert world.release("none").return_value == WbemCode.NOT_FOUND


@pytest.mark.parametrize("use", [Use.TAKEN, Use.QUARANTINED])
def test_a_guest_that_does_not_answer_keeps_only_what_somebody_has(world: World, use: Use) -> None:
    world.rig.make("vd-1", use, holder="CORP\\ann" if use is Use.TAKEN else "")
    simulator.set_fault(world.rig.place.path, HOST1, "vd-1", "silent")
    if use is Use.TAKEN:
        assert "may be logged on to vd-1" in world.release("vd-1").reason
    assert world.release("vd-1", force=use is Use.TAKEN).return_value == 0
    assert world.rig.use("vd-1").use is Use.UNREADY
