"""The servers of the deployment and their roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.small_deployment import HOST1, HOST2, SmallDeployment, open_small_deployment
from openrdms.adapters import simulator
from openrdms.adapters.node_probe import NodeProbe
from openrdms.model import errors
from openrdms.model.node import Role
from openrdms.model.provisioning import HostAllocation
from openrdms.services.nodes import Nodes
from openrdms.services.provisioning.census import Surveyor, resolve_hosts

BROKER = "broker.example.org"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with open_small_deployment(tmp_path) as place:
        yield Nodes(place.store, place.hosts, lambda: [BROKER], NodeProbe())


def test_the_broker_and_every_host_are_nodes(nodes: Nodes) -> None:
    found = {node.fqdn: node for node in nodes.list_nodes()}
    assert {name: node.roles for name, node in found.items()} == {
        BROKER: Role.CONNECTION_BROKER,
        HOST1: Role.VIRTUALIZATION_HOST,
        HOST2: Role.VIRTUALIZATION_HOST,
    }
    assert all(node.os_version for node in found.values())
    assert nodes.get_node(HOST2.upper()) == found[HOST2]
    with pytest.raises(errors.NotFound):
        nodes.get_node("nobody")


def test_a_host_that_is_the_broker_too_is_one_node(tmp_path: Path) -> None:
    with open_small_deployment(tmp_path) as place:
        nodes = Nodes(place.store, place.hosts, lambda: [HOST1.upper()], NodeProbe())
        assert nodes.get_node(HOST1).roles == Role.CONNECTION_BROKER | Role.VIRTUALIZATION_HOST
        assert nodes.count_nodes(0) == 2


@pytest.mark.parametrize(
    ("role_type", "count"), [(0, 3), (1, 1), (2, 0), (4, 2), (3, 1), (5, 3), (7, 3)]
)
def test_nodes_are_counted_by_a_bit_field(nodes: Nodes, role_type: int, count: int) -> None:
    assert nodes.count_nodes(role_type) == count


def test_an_unknown_role_is_refused(nodes: Nodes) -> None:
    with pytest.raises(errors.InvalidParameter, match="roleType"):
        nodes.count_nodes(8)


def test_every_machine_whose_service_lives_is_a_broker(tmp_path: Path) -> None:
    with open_small_deployment(tmp_path) as place:
        live = [BROKER, "second.example.org", HOST1]
        nodes = Nodes(place.store, place.hosts, lambda: live, NodeProbe())
        found = {node.fqdn: node for node in nodes.list_nodes()}
        assert [*found] == [*live, HOST2]
        assert found[HOST1].roles == Role.CONNECTION_BROKER | Role.VIRTUALIZATION_HOST
        assert found["second.example.org"].os_version is None
        with pytest.raises(errors.InvalidOperation, match="active broker"):
            nodes.unjoin("SECOND.example.org")
        with pytest.raises(errors.InvalidParameter, match="second"):
            put(nodes, HOST2, is_broker=True)
        put(nodes, "second.example.org", is_gateway=True)
        live.remove("second.example.org")
        dead = nodes.get_node("second.example.org")
        assert (dead.is_broker, dead.is_gateway) == (False, True)
        nodes.unjoin("second.example.org")
        assert nodes.count_nodes(0) == 3


# join and unjoin


class Answering:
    """A probe to which machines answer, or do not."""

    def __init__(self, *silent: str) -> None:
        self._silent = silent
        self.asked: list[str] = []

    def require_answer(self, fqdn: str) -> None:
        self.asked.append(fqdn)
        if fqdn in self._silent:
            raise errors.HostUnavailable(f"{fqdn} does not answer")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SmallDeployment]:
    with open_small_deployment(tmp_path) as place:
        yield place


def open_nodes(place: SmallDeployment, *silent: str) -> tuple[Nodes, Answering]:
    probe = Answering(*silent)
    return Nodes(place.store, place.hosts, lambda: [BROKER], probe), probe


def put(nodes: Nodes, fqdn: str, **fields: object) -> None:
    nodes.modify(fqdn, {name: (name, value) for name, value in fields.items()})


def test_server_that_answers_joins_and_leaves(place: SmallDeployment) -> None:
    nodes, probe = open_nodes(place)
    nodes.join("web.example.org", "S-1-5-21-1-2-3-1105")
    node = nodes.get_node("WEB.example.org")
    assert (node.sid, node.os_version, node.roles) == ("S-1-5-21-1-2-3-1105", None, Role(0))
    assert probe.asked == ["web.example.org"]
    assert (nodes.count_nodes(0), nodes.count_nodes(7)) == (4, 3)
    nodes.unjoin("web.example.org")
    with pytest.raises(errors.NotFound):
        nodes.get_node("web.example.org")


@pytest.mark.parametrize(
    ("fqdn", "sid", "error"),
    [
        ("web", "", errors.InvalidParameter),
        ("web.example.org.", "", errors.InvalidParameter),
        ("-oProxyCommand=x.example.org", "", errors.InvalidParameter),
        ("we b.example.org", "", errors.InvalidParameter),
        ("a." * 127 + "example", "", errors.InvalidParameter),
        ("web.example.org", "S-1-nonsense", errors.InvalidParameter),
        ("web.example.org", "BA", errors.InvalidParameter),
        ("web.example.org", "S-1-5-21-7", errors.AlreadyExists),
        ("First.example.org", "", errors.AlreadyExists),
        (BROKER, "", errors.AlreadyExists),
        (HOST1, "", errors.AlreadyExists),
        ("silent.example.org", "", errors.HostUnavailable),
    ],
)
def test_who_does_not_join(
    place: SmallDeployment, fqdn: str, sid: str, error: type[errors.RdmsError]
) -> None:
    nodes, _ = open_nodes(place, "silent.example.org")
    nodes.join("first.example.org", "S-1-5-21-7")
    before = nodes.list_nodes()
    with pytest.raises(error):
        nodes.join(fqdn, sid)
    assert nodes.list_nodes() == before


def test_hypervisor_host_leaves_and_joins_again(place: SmallDeployment) -> None:
    nodes, probe = open_nodes(place)
    nodes.unjoin(HOST2)
    assert nodes.count_nodes(4) == 1
    with pytest.raises(errors.NotFound):
        nodes.unjoin(HOST2)
    again, probe = open_nodes(place)
    assert again.count_nodes(4) == 1
    simulator.set_fault(place.path, HOST2, fault="down")
    with pytest.raises(errors.HostUnavailable, match=HOST2):
        again.join(HOST2, "")
    simulator.set_fault(place.path, HOST2)
    again.join(HOST2, "")
    assert again.count_nodes(4) == 2
    assert probe.asked == []


def test_host_that_left_gets_no_desktops(place: SmallDeployment) -> None:
    nodes, _ = open_nodes(place)
    nodes.unjoin(HOST2)
    census = Surveyor(place.store, place.hosts).take()
    assert [room.host for room in census.rooms] == [HOST1]
    with pytest.raises(errors.InvalidParameter, match=HOST2):
        resolve_hosts((HostAllocation(HOST2, 1),), place.hosts, census)
    nodes.unjoin(HOST1)
    with pytest.raises(errors.HostUnavailable, match="no host takes desktops"):
        resolve_hosts((), place.hosts, Surveyor(place.store, place.hosts).take())
    nodes.join(HOST2, "")
    assert [room.host for room in Surveyor(place.store, place.hosts).take().rooms] == [HOST2]


def test_who_does_not_leave(place: SmallDeployment) -> None:
    nodes, _ = open_nodes(place)
    place.make_desktop("vd-1", "farm")
    for leave in (nodes.unjoin, lambda fqdn: put(nodes, fqdn, is_vm_host=False)):
        with pytest.raises(errors.InvalidOperation, match="carries 1 desktop"):
            leave(HOST1)
    with pytest.raises(errors.InvalidOperation, match="active broker"):
        nodes.unjoin(BROKER)
    with pytest.raises(errors.NotFound):
        nodes.unjoin("nobody.example.org")


def test_flags_are_kept(place: SmallDeployment) -> None:
    nodes, _ = open_nodes(place)
    nodes.join("web.example.org", "")
    put(nodes, "web.example.org", is_web_access=True, is_session_host=True, is_broker=False)
    put(nodes, HOST1, is_vm_host=True, redirector_certificate=True)
    put(nodes, BROKER, is_licensing=True, is_broker=True)
    again, _ = open_nodes(place)
    web, host, broker = (again.get_node(name) for name in ("web.example.org", HOST1, BROKER))
    assert (web.is_web_access, web.roles) == (True, Role.SESSION_HOST)
    assert (host.redirector_certificate, host.roles) == (True, Role.VIRTUALIZATION_HOST)
    assert (broker.is_licensing, broker.roles) == (True, Role.CONNECTION_BROKER)
    assert again.count_nodes(2) == 1


@pytest.mark.parametrize("fqdn", ["web.example.org", HOST2])
def test_a_change_does_not_bring_back_what_leaves_meanwhile(
    place: SmallDeployment, monkeypatch: pytest.MonkeyPatch, fqdn: str
) -> None:
    nodes, _ = open_nodes(place)
    if fqdn != HOST2:
        nodes.join(fqdn, "")
    before = nodes.get_node(fqdn)
    nodes.unjoin(fqdn)
    monkeypatch.setattr(nodes, "get_node", lambda _: before)
    with pytest.raises(errors.NotFound):
        put(nodes, fqdn, is_gateway=True)
    assert fqdn not in {node.fqdn for node in nodes.list_nodes()}


def test_flags_nobody_can_set(place: SmallDeployment) -> None:
    nodes, _ = open_nodes(place)
    nodes.join("web.example.org", "")
    for fqdn, wrong in (
        ("web.example.org", {"is_broker": True}),
        ("web.example.org", {"is_vm_host": True}),
        (HOST1, {"is_broker": True}),
        (BROKER, {"is_broker": False}),
    ):
        with pytest.raises(errors.InvalidParameter):
            put(nodes, fqdn, **wrong)


def test_host_that_is_no_vm_host_is_a_node_still(place: SmallDeployment) -> None:
    nodes, _ = open_nodes(place)
    put(nodes, HOST2, is_vm_host=False)
    assert (nodes.count_nodes(0), nodes.count_nodes(4)) == (3, 1)
    assert [room.host for room in Surveyor(place.store, place.hosts).take().rooms] == [HOST1]
    put(nodes, HOST2, is_vm_host=True)
    assert nodes.count_nodes(4) == 2


def test_name_of_the_system_is_what_was_set_or_learned(place: SmallDeployment) -> None:
    nodes, _ = open_nodes(place)
    learned = nodes.get_node(HOST1).os_version
    put(nodes, HOST1, os_version=learned, is_gateway=True)
    assert place.store.list_nodes()[0].os_version is None
    put(nodes, HOST1, os_version="Plan 9")
    assert nodes.get_node(HOST1).os_version == "Plan 9"
    put(nodes, HOST1, os_version=None)
    assert nodes.get_node(HOST1).os_version == learned
