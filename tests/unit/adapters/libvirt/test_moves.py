"""What becomes of a VM whose move nobody leads any more, against libvirt's own test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import libvirt
import pytest

from openrdms.adapters.libvirt import moves
from openrdms.adapters.libvirt.moves import Site
from openrdms.adapters.libvirt.places import Places

DESK = UUID("2f6ffa5b-7d02-4b4a-9a2e-6bd7c0a2d7a1")
DEFINITION = f"""
    <domain type='test'>
      <name>desk</name><uuid>{DESK}</uuid><memory>1024</memory><os><type>hvm</type></os>
    </domain>"""


class Looked:
    """The part of ``connection.Link`` that settling a move asks for."""

    def __init__(self, connection: libvirt.virConnect, *, goes: bool) -> None:
        self._connection = connection
        self._goes = goes

    def find_domain(self, name: str) -> libvirt.virDomain | None:
        """With ``goes`` it is no more as soon as it was found."""
        found = [one for one in self._connection.listAllDomains() if one.name() == name]
        for domain in found if self._goes else ():
            domain.destroy()
        return found[0] if found else None


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[list[libvirt.virConnect]]:
    """Two test hosts, each of its own, at both of which the VM runs."""
    node = tmp_path / "node.xml"
    node.write_text("<node></node>")
    opened = [libvirt.open(f"test://{node}") for _ in range(2)]
    for connection in opened:
        connection.createXML(DEFINITION)
    yield opened
    for connection in opened:
        connection.close()


def make_site(name: str, link: Any, path: Path) -> Site:
    return Site(name, link, Places(path, path, None), "", None)


def test_one_that_goes_while_it_is_looked_at_has_not_arrived(
    connections: list[libvirt.virConnect], tmp_path: Path
) -> None:
    here, there = connections
    source = make_site("source", Looked(here, goes=False), tmp_path)
    target = make_site("target", Looked(there, goes=True), tmp_path)
    assert moves.settle(source, target, "desk", DESK) is False
    [left] = here.listAllDomains()
    assert left.isActive()
    assert there.listAllDomains() == []


def test_one_that_left_while_it_was_looked_at_has_arrived(
    connections: list[libvirt.virConnect], tmp_path: Path
) -> None:
    here, there = connections
    source = make_site("source", Looked(here, goes=True), tmp_path)
    target = make_site("target", Looked(there, goes=False), tmp_path)
    assert moves.settle(source, target, "desk", DESK) is True
    assert [domain.name() for domain in there.listAllDomains()] == ["desk"]
