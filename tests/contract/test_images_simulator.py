"""The simulator's hosts take images as every host does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.image_suite import ImageSuite
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost
from openrdms.model.image import ImageVersion


class TestSimulatorImages(ImageSuite):
    @pytest.fixture
    def host(self, tmp_path: Path) -> Iterator[SimulatorHost]:
        (host,) = simulator.connect(f"simulator://{tmp_path}?hosts=1&copy_ms=20")
        yield host
        host.close()

    @pytest.fixture
    def image(self, host: SimulatorHost) -> ImageVersion:
        return replace(host.images()[0], name="other")

    @pytest.fixture
    def corrupt(self, tmp_path: Path) -> Callable[[ImageVersion], ImageVersion]:
        def damage(image: ImageVersion) -> ImageVersion:
            simulator.set_image_fault(tmp_path, image.reference, "corrupt")
            return image

        return damage
