"""Simulated hosts keep what hosts promise whose VMs move between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.move_suite import MoveSuite
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost
from openrdms.model.image import ImageVersion

Hosts = list[SimulatorHost]


class TestMovesOnTheSimulator(MoveSuite):
    @pytest.fixture
    def two(self, tmp_path: Path) -> Iterator[Hosts]:
        hosts = simulator.connect(f"simulator://{tmp_path}/one?hosts=2")
        yield hosts
        for host in hosts:
            host.close()

    @pytest.fixture
    def source(self, two: Hosts) -> SimulatorHost:
        return two[0]

    @pytest.fixture
    def target(self, two: Hosts) -> SimulatorHost:
        return two[1]

    @pytest.fixture
    def alone(self, tmp_path: Path) -> Iterator[SimulatorHost]:
        (host,) = simulator.connect(f"simulator://{tmp_path}/other?hosts=1")
        yield host
        host.close()

    @pytest.fixture
    def image(self, source: SimulatorHost) -> ImageVersion:
        return source.images()[0]
