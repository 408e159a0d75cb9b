"""The servers of the deployment and their roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.small_deployment import HOST1, HOST2, open_small_deployment
from openrdms.adapters.node_probe import NodeProbe
from openrdms.model import errors
from openrdms.model.node import Role
from openrdms.services.nodes import Nodes

BROKER = "broker.example.org"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with open_small_deployment(tmp_path) as place:
        yield Nodes(place.store, place.hosts, BROKER, NodeProbe())


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
        nodes = Nodes(place.store, place.hosts, HOST1.upper(), NodeProbe())
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
