"""The simulator keeps what every host promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.host_suite import HostSuite
from fakes.simulated_death import leave_half_made_disk
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost
from openrdms.model.host import VmSpec
from openrdms.model.image import ImageVersion


class TestSimulatorHost(HostSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("simulator")

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, path: Path) -> Iterator[SimulatorHost]:
        (host,) = simulator.connect(f"simulator://{path}?hosts=1")
        yield host
        host.close()

    @pytest.fixture(scope="class")
    @classmethod
    def image(cls, host: SimulatorHost) -> ImageVersion:
        return host.images()[0]

    @pytest.fixture(scope="class")
    @classmethod
    def add_stranger(cls, path: Path) -> Callable[[str], None]:
        return lambda name: simulator.add_stranger(path, "host1", name, running=False)

    @pytest.fixture(scope="class")
    @classmethod
    def break_disk(cls, path: Path) -> Callable[[VmSpec], None]:
        return lambda spec: leave_half_made_disk(path, spec)
