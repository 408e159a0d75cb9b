"""Which image versions are compared, and which are refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.new_records import open_records
from openrdms.adapters import simulator
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.model.errors import InvalidParameter, NotFound, NotSupported
from openrdms.model.image import GuestOs
from openrdms.model.image_difference import ImageDifference
from openrdms.services.image_diff import ImageDiff
from openrdms.services.images import Images


class Tools(DebianImageTools):
    """Notes which disks are compared."""

    def __init__(self) -> None:
        self.compared: list[tuple[Path, Path]] = []

    def compare_disks(self, before: Path, after: Path, progress: Any) -> ImageDifference:
        self.compared.append((before, after))
        return ImageDifference([], [])


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    store = open_records(tmp_path / "records.sqlite")
    hosts = simulator.connect(f"simulator://{tmp_path}/sim?hosts=1")
    [tiny] = hosts[0].images()
    images = Images(store, DebianImageTools(), tmp_path / "images", lambda: tiny.created)
    images.register([tiny])
    store.add_image(replace(tiny, disk=tmp_path / "second.qcow2"))
    store.add_image(replace(tiny, name="win", os=GuestOs.WINDOWS))
    yield images
    hosts[0].close()
    store.close()


def compare(images: Images, tools: DebianImageTools, before: str, after: str) -> ImageDifference:
    return ImageDiff(images, tools).compare(before, after, lambda _fraction, _words: None)


def test_the_disks_of_both_versions_are_compared(images: Images, tmp_path: Path) -> None:
    tools = Tools()
    assert compare(images, tools, "tiny@1", "TINY@2") == ImageDifference([], [])
    [(before, after)] = tools.compared
    assert (before.name, after) == ("disk.qcow2", tmp_path / "second.qcow2")


@pytest.mark.parametrize(
    ("before", "after", "error", "words"),
    [
        ("tiny", "tiny@2", InvalidParameter, "before: 'tiny' is not NAME@VERSION"),
        ("tiny@1", "tiny@x", InvalidParameter, "after"),
        ("tiny@1", "tiny@9", NotFound, "tiny@9"),
        ("tiny@1", "win@1", NotSupported, "win@1: images of Windows"),
    ],
)
def test_others_are_refused(
    images: Images, before: str, after: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        compare(images, Tools(), before, after)


def test_a_disk_without_a_file_system_is_refused(images: Images) -> None:
    with pytest.raises(NotSupported, match="no ext4"):
        compare(images, DebianImageTools(), "tiny@1", "tiny@1")
