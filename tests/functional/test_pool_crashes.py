"""A service that is killed while it makes a desktop fresh leaves one that is made fresh later."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.crash_driver import fork
from fakes.pool_rig import HOST, PoolRig
from fakes.provisioning_rig import POOL, Rig, later
from openrdms.model.desktop_use import Use
from openrdms.model.host import GuestIdentity
from openrdms.model.job import JobAction

CALLS = (
    *("change_uses", "destroy", "create_disk", "define", "start"),
    *("set_identity", "logon_mark", "change_desktop", "delete_unused_disks"),
)
OF_NEWER = ("change_desktop", "delete_unused_disks")
"""What is not called for a desktop whose image stays as it is."""

MOMENTS = [
    (image, when, call)
    for image in ("same", "newer")
    for when in ("before", "after")
    for call in CALLS
    if image == "newer" or call not in OF_NEWER
]
BETWEEN = [
    pytest.param(*one, marks=pytest.mark.slow if number else [], id="-".join(one))
    for number, one in enumerate(
        [
            ("after", "change_desktop"),
            ("before", "create_disk"),
            ("after", "create_disk"),
            ("after", "define"),
            ("after", "delete_unused_disks"),
        ]
    )
]
CHOSEN = random.Random(4).sample(MOMENTS, 5)
EVERY = [
    pytest.param(*one, marks=[] if one in CHOSEN else pytest.mark.slow, id="-".join(one))
    for one in MOMENTS
]


class Deadly:
    """A port that kills its process before or after the first such call of the pool."""

    def __init__(self, port: Any, die: Callable[[str, str], None]) -> None:
        self._port = port
        self._die = die

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name == "guest":
            return lambda vm: Deadly(value(vm), self._die)
        if name not in CALLS:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._die("before", name)
            result = value(*args, **kwargs)
            self._die("after", name)
            return result

        return call


def use_and_die(directory: Path, image: str, when: str, call: str) -> None:
    """Fill the pool, spoil a desktop, and be killed while it is reset."""
    armed = False

    def die(*moment: str) -> None:
        ours = threading.current_thread() is threading.main_thread()
        if armed and not ours and moment == (when, call):
            os.kill(os.getpid(), signal.SIGKILL)

    rig = PoolRig(
        directory,
        wrap_host=lambda host: Deadly(host, die),  # type: ignore[arg-type,return-value]
        wrap_store=lambda store: Deadly(store, die),  # type: ignore[arg-type,return-value]
    )
    rig.resume().fill(1)
    rig.host_of("pool-1").guest("pool-1").set_identity(GuestIdentity("spoiled", "", ""), 2)
    if image == "newer":
        newer = rig.store.add_image(rig.images.resolve("image:tiny"))
        settings = rig.store.find_provisioning(POOL)
        assert settings
        rig.store.set_provisioning(POOL, replace(settings, image=newer.reference))
    armed = True
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_for("pool-1", Use.READY)


def live_on(directory: Path, image: str) -> None:
    rig = PoolRig(directory).resume()
    rig.wait_for("pool-1", Use.READY)
    generation = 1 if image == "same" else 2
    assert rig.files() == [f"pool-1.{generation}.qcow2"]
    assert rig.host_of("pool-1").guest("pool-1").identity().hostname == "pool-1"
    assert rig.power("pool-1") == "running"
    assert rig.orphans() == []
    assert [use.failures for use in rig.store.list_uses(POOL)] == [0]
    assert HOST in rig.use("pool-1").host
    rig.close()


@pytest.mark.parametrize(("image", "when", "call"), EVERY)
def test_killed_while_preparing(tmp_path: Path, image: str, when: str, call: str) -> None:
    died = fork(lambda: use_and_die(tmp_path, image, when, call))
    assert died == -signal.SIGKILL
    assert fork(lambda: live_on(tmp_path, image)) == 0


def delete(directory: Path) -> None:
    """Before a pool has looked at it."""
    rig = PoolRig(directory)
    rig.reconciling.settle_uses()
    Rig.resume(rig)
    assert rig.run(later(JobAction.DELETE)).succeeded == 1
    assert (rig.vms(), rig.files(), rig.orphans()) == ({}, [], [])


@pytest.mark.parametrize(("when", "call"), BETWEEN)
def test_killed_between_two_images_and_deleted(tmp_path: Path, when: str, call: str) -> None:
    died = fork(lambda: use_and_die(tmp_path, "newer", when, call))
    assert died == -signal.SIGKILL
    assert fork(lambda: delete(tmp_path)) == 0
