"""Images that nobody needs go, from the records, this machine and the hosts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.small_deployment import HOST1, HOST2, SmallDeployment, open_small_deployment
from openrdms.adapters import simulator
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.model import errors
from openrdms.model.collection import CollectionType
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.model.image import ImageVersion
from openrdms.model.job import JobAction
from openrdms.model.patch import Patch
from openrdms.model.provisioning import JobDocument, OnError, render_job
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.image_removal import ImageRemoval
from openrdms.services.images import Images
from openrdms.services.reconciling import Reconciling


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class World:
    place: SmallDeployment
    directory: Path

    def __post_init__(self) -> None:
        self.store, self.hosts = self.place.store, self.place.hosts
        self.images = Images(self.store, DebianImageTools(), self.directory, now)
        self.images.register(self.hosts.get(HOST1).images())
        self.removal = ImageRemoval(self.store, self.hosts, self.images)

    def add(self) -> ImageVersion:
        """A version of "gold", whose copies are on both hosts."""
        home = self.directory / "gold" / str(self.store.next_image_version("gold"))
        home.mkdir(parents=True)
        disk = home / "disk.qcow2"
        disk.write_bytes(b"gold")
        image = self.store.add_image(
            replace(self.images.resolve("image:tiny"), name="gold", disk=disk)
        )
        for host in self.hosts.all():
            host.copy_image(image, lambda: True, lambda _: None)
        return image

    def reconcile(self, host: str) -> None:
        uses = DesktopUses(self.store, now)
        reconciling = Reconciling(self.store, self.hosts, self.place.health(), uses, now)
        reconciling.reconcile(self.hosts.get(host))

    def holders(self, image: ImageVersion) -> list[str]:
        return [host.name for host in self.hosts.all() if host.has_image(image)]

    def schedule(self, collection: str, location: str) -> None:
        document = JobDocument(
            action=JobAction.PATCH,
            on_error=OnError.STOP,
            collection=collection,
            disk_kind=DiskKind.LINKED,
            base_vm_location=location,
        )
        begin, guid = now() + timedelta(days=1), "{00000000-0000-4000-8000-000000000001}"
        self.store.schedule_patch(
            Patch(collection, guid, begin, begin, render_job(document), 1, now())
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_small_deployment(tmp_path, "copy_ms=0") as place:
        yield World(place, tmp_path / "images")


def test_what_nobody_needs_is_removed_everywhere(world: World) -> None:
    world.place.make_collection("pool")
    first, second, third = world.add(), world.add(), world.add()
    made = world.place.make_desktop("vd-1", "pool")
    world.store.put_desktops([replace(made, image=second.reference)])
    foreseen = world.removal.plan("GOLD")
    assert [len(world.holders(image)) for image in (first, second, third)] == [2, 2, 2]
    assert [one.freed > 0 for one in foreseen] == [True, False, True]
    removals = world.removal.remove("GOLD")
    assert removals == foreseen
    assert [(one.image, one.kept) for one in removals] == [
        (first, ""),
        (second, "desktops vd-1"),
        (third, ""),
    ]
    assert [image.reference for image in world.images.list()] == ["gold@2", "tiny@1"]
    assert [path.name for path in (world.directory / "gold").iterdir()] == ["2"]
    assert [len(world.holders(image)) for image in (first, second, third)] == [0, 2, 0]
    for refuse in (world.removal.plan, world.removal.remove):
        with pytest.raises(errors.InvalidOperation, match="gold@2 is kept for desktops vd-1"):
            refuse("gold@2")
    with pytest.raises(errors.NotFound, match="gold@3"):
        world.removal.remove("gold@3")
    with pytest.raises(errors.InvalidParameter, match="name"):
        world.removal.remove("gold@newest")
    assert world.add().version == 4


def test_a_host_that_is_away_drops_its_copies_when_it_is_back(world: World) -> None:
    image = world.add()
    simulator.set_fault(world.place.path, HOST2, fault="down")
    assert world.removal.plan("gold@1")[0].later == (HOST2,)
    [removal] = world.removal.remove("gold@1")
    assert removal.later == (HOST2,)
    simulator.set_fault(world.place.path, HOST2)
    assert world.holders(image) == [HOST2]
    world.reconcile(HOST2)
    assert world.holders(image) == []
    world.reconcile(HOST2)


def test_a_service_that_died_after_the_record_goes_on_at_its_start(world: World) -> None:
    image = world.add()
    assert not world.store.remove_image(image)
    Images(world.store, DebianImageTools(), world.directory, now)
    assert not image.disk.exists()
    for host in (HOST1, HOST2):
        world.reconcile(host)
    assert world.holders(image) == []


def test_a_vm_on_no_record_keeps_its_host_from_dropping_what_it_runs_on(world: World) -> None:
    image = world.add()
    host = world.hosts.get(HOST1)
    [tiny] = host.images()
    ours = Ownership("pool", "{JOB}", image.reference)
    uuid = world.place.make_desktop("other", "pool").uuid
    spec = VmSpec("lost", uuid, "52:54:00:00:00:01", tiny, DiskKind.LINKED, 1, ours)
    host.create_disk(spec)
    host.define(spec)
    world.removal.remove("gold")
    assert world.holders(image) == [HOST1]
    host.undefine("lost")
    world.reconcile(HOST1)
    assert world.holders(image) == []


@pytest.mark.parametrize("location", ["image:gold", "image:gold@2"])
def test_an_update_to_come_keeps_its_image(world: World, location: str) -> None:
    world.place.make_collection("pool", CollectionType.POOLED)
    first, second = world.add(), world.add()
    world.schedule("pool", location)
    removals = {one.image: one.kept for one in world.removal.remove("gold")}
    assert removals[first] == ""
    assert removals[second].startswith("the update of pool at ")


def test_what_a_host_brings_is_its_own(world: World) -> None:
    with pytest.raises(errors.InvalidOperation, match=f"tiny@1 is kept for host {HOST1}"):
        world.removal.remove("tiny")
