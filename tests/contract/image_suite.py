"""What every ``ports.Host`` promises of images that must be brought to it first.

A test file supplies ``host`` (open, without the image), ``image`` (one it must be brought) and
``corrupt`` (what makes of an image one whose copy has another checksum).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from contract.host_suite import make_spec
from openrdms.model.errors import InvalidOperation, OperationFailed
from openrdms.model.image import ImageVersion
from openrdms.ports import Host


def always() -> bool:
    return True


def ignore(_share: float) -> None:
    pass


class ImageSuite:
    @pytest.fixture
    def host(self) -> Host:
        raise NotImplementedError

    @pytest.fixture
    def image(self) -> ImageVersion:
        raise NotImplementedError

    @pytest.fixture
    def corrupt(self) -> Callable[[ImageVersion], ImageVersion]:
        raise NotImplementedError

    def test_copied_image_is_there_until_it_is_dropped(
        self, host: Host, image: ImageVersion
    ) -> None:
        shares: list[float] = []
        assert not host.has_image(image)
        host.copy_image(image, always, shares.append)
        assert host.has_image(image)
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        for _ in range(2):
            host.drop_image(image)
            assert not host.has_image(image)

    def test_disk_over_a_copied_image_can_be_made(self, host: Host, image: ImageVersion) -> None:
        spec = make_spec(image, "over-copy")
        with pytest.raises(OperationFailed, match=image.reference):
            host.create_disk(spec)
        host.copy_image(image, always, ignore)
        host.create_disk(spec)
        host.delete_disk(spec.name, spec.generation)

    def test_copy_that_was_ended_goes_on_where_it_was(
        self, host: Host, image: ImageVersion
    ) -> None:
        first: list[float] = []
        with pytest.raises(InvalidOperation, match=image.reference):
            host.copy_image(image, lambda: len(first) < 3, first.append)
        assert 0 < first[-1] < 1
        assert not host.has_image(image)
        second: list[float] = []
        host.copy_image(image, always, second.append)
        assert second[0] >= first[-1]
        assert host.has_image(image)

    def test_copy_that_must_not_go_on_brings_nothing_whole(
        self, host: Host, image: ImageVersion
    ) -> None:
        with pytest.raises(InvalidOperation):
            host.copy_image(image, lambda: False, ignore)
        assert not host.has_image(image)
        host.drop_image(image)

    def test_image_that_is_there_is_not_copied_again(self, host: Host, image: ImageVersion) -> None:
        host.copy_image(image, always, ignore)
        shares: list[float] = []
        host.copy_image(image, lambda: False, shares.append)
        assert shares == [1.0]

    def test_copy_with_another_checksum_is_removed(
        self,
        host: Host,
        image: ImageVersion,
        corrupt: Callable[[ImageVersion], ImageVersion],
    ) -> None:
        wrong = corrupt(image)
        with pytest.raises(OperationFailed, match="checksum"):
            host.copy_image(wrong, always, ignore)
        assert not host.has_image(wrong)
        shares: list[float] = []
        with pytest.raises(OperationFailed, match="checksum"):
            host.copy_image(wrong, always, shares.append)
        assert shares[0] < 0.5, "what was wrong is not gone on with"

    def test_several_callers_copy_an_image_once(self, host: Host, image: ImageVersion) -> None:
        shares: list[float] = []

        def copy(_: int) -> None:
            host.copy_image(image, always, shares.append)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(copy, range(4)))
        assert shares == sorted(shares)
        assert host.has_image(image)

    def test_versions_are_kept_apart(self, host: Host, image: ImageVersion) -> None:
        other = replace(image, version=image.version + 1)
        host.copy_image(image, always, ignore)
        assert not host.has_image(other)
        host.copy_image(other, always, ignore)
        host.drop_image(image)
        assert (host.has_image(image), host.has_image(other)) == (False, True)
