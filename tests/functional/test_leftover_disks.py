"""Disks that are left over: none is taken for a new one, and no job leaves one behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from contract.host_suite import make_spec, make_vm
from fakes.pool_rig import HOST, PoolRig
from fakes.provisioning_rig import POOL, Faults, create, later, now
from openrdms.model import errors
from openrdms.model.desktop_use import Use
from openrdms.model.host import GuestIdentity
from openrdms.model.job import JobAction, VmStatus
from openrdms.model.pool_policy import MOST_FAILURES
from openrdms.ports import Guest


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def rig(tmp_path: Path, faults: Faults) -> Iterator[PoolRig]:
    rig = PoolRig(tmp_path, wrap_host=faults.wrap).resume()
    yield rig
    rig.close()


def take_newer_image(rig: PoolRig) -> str:
    """The pool is to have tiny@2 from now on. It has pool-1 not in hand meanwhile."""
    rig.uses.move(["pool-1"], Use.QUARANTINED, of={Use.READY})
    newer = rig.store.add_image(rig.images.resolve("image:tiny"))
    settings = rig.store.find_provisioning(POOL)
    assert settings
    rig.store.set_provisioning(POOL, replace(settings, image=newer.reference))
    return newer.reference


def turn_to_newer_image(rig: PoolRig) -> None:
    """As a pool leaves pool-1 that was killed after it had turned its record to another image: the
    VM is over the disk of its last user still.
    """
    newer = take_newer_image(rig)
    rig.store.change_desktop(
        "pool-1", lambda desktop: desktop and replace(desktop, image=newer, generation=2)
    )


def answers(guest: Guest) -> bool:
    try:
        guest.ping(1)
    except errors.GuestUnreachable:
        return False
    return True


def test_desktop_of_a_new_collection_is_not_over_an_old_disk(rig: PoolRig) -> None:
    host = rig.hosts.get(HOST)
    spec = make_spec(host.images()[0], "pool-1")
    make_vm(host, spec)
    host.start("pool-1")
    rig.wait_until(lambda: answers(host.guest("pool-1")))
    host.guest("pool-1").set_identity(GuestIdentity("spoiled", "", ""), 2)
    host.destroy("pool-1")
    host.undefine("pool-1")
    rig.add_collection()
    assert rig.run(create(((HOST, 1),), start=False)).succeeded == 1
    record = rig.store.find_desktop("pool-1")
    assert record and record.uuid != spec.uuid
    guest = rig.host_of("pool-1").guest("pool-1")
    assert guest.identity().hostname == "tiny"
    assert rig.files() == ["pool-1.1.qcow2"]


def test_delete_leaves_nothing_of_a_pool_that_had_no_room_for_another_image(
    rig: PoolRig, faults: Faults
) -> None:
    rig.fill(1)
    take_newer_image(rig)
    faults.plan["create_disk", "pool-1"] = errors.OutOfSpace("no room")
    failed = {"failures": MOST_FAILURES - 1, "since": now() - timedelta(hours=1)}
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.QUARANTINED}, **failed)
    rig.wait_for("pool-1", Use.QUARANTINED)
    record = rig.store.find_desktop("pool-1")
    assert record and record.generation == 2
    assert rig.files() == ["pool-1.1.qcow2"]
    assert rig.run(later(JobAction.DELETE)).succeeded == 1
    assert (rig.vms(), rig.files(), rig.orphans()) == ({}, [], [])


def test_delete_leaves_nothing_of_a_desktop_between_two_images(rig: PoolRig) -> None:
    rig.fill(1)
    turn_to_newer_image(rig)
    rig.host_of("pool-1").create_disk(make_spec(rig.images.resolve("image:tiny@1"), "pool-1", 2))
    assert rig.files() == ["pool-1.1.qcow2", "pool-1.2.qcow2"]
    assert rig.run(later(JobAction.DELETE)).succeeded == 1
    assert (rig.vms(), rig.files(), rig.orphans()) == ({}, [], [])


def test_update_leaves_one_disk_of_a_desktop_between_two_images(rig: PoolRig) -> None:
    rig.fill(1)
    turn_to_newer_image(rig)
    assert rig.run(later(JobAction.PATCH)).succeeded == 1
    assert rig.files() == rig.vms()["pool-1"] == ["pool-1.3.qcow2"]
    assert rig.orphans() == []


def test_update_of_a_desktop_between_two_images_makes_the_disk_it_goes_back_to(
    rig: PoolRig, faults: Faults
) -> None:
    rig.fill(1)
    turn_to_newer_image(rig)
    broken = [errors.OperationFailed("it does not take it")]

    def refuse_once(call: str, _vm: str) -> None:
        if call == "set_identity" and broken:
            raise broken.pop()

    faults.before = refuse_once
    [failed] = rig.run(later(JobAction.PATCH)).desktops
    assert (failed.status, failed.undone) == (VmStatus.FAILED, ("define", "disk"))
    rig.wait_for("pool-1", Use.READY)
    assert rig.files() == rig.vms()["pool-1"] == ["pool-1.2.qcow2"]
    assert rig.orphans() == []


@pytest.mark.parametrize("resets", [True, False])
def test_desktop_between_two_images_is_made_from_the_one_on_record(
    rig: PoolRig, resets: bool
) -> None:
    rig.fill(1, rollback_enabled=resets)
    turn_to_newer_image(rig)
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.QUARANTINED})
    rig.wait_for("pool-1", Use.READY)
    assert rig.files() == ["pool-1.2.qcow2"]
    assert rig.orphans() == []
