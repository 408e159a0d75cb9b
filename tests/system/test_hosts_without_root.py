"""Hosts elsewhere and a service whose account is not root: what it makes in the shared directory is
for QEMU's account by the directory's group (docs/hosts.md). One run takes a minute.
"""

from __future__ import annotations

import os
import pickle
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from contract.host_suite import get_vm, leftovers_of, make_spec, make_vm, remove_vm
from live.namespaces import Machine, machines, why_not
from openrdms.adapters.libvirt.host import LibvirtHost, connect
from openrdms.model.errors import OperationFailed
from openrdms.model.host import VmSpec, VmState
from openrdms.model.image import Firmware, ImageVersion
from openrdms.runtime_dir import make_runtime_dir

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

ACCOUNT = "nobody"
QEMU = "libvirt-qemu"
"""QEMU's account on Debian, and the group of the same number everywhere."""

SETTINGS = """
dynamic_ownership = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
"""Of hosts: the first as the guide has it, the others as machines in namespaces need them."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A directory as the guide has it; pytest's own are for root alone."""
    place = Path(tempfile.mkdtemp(prefix="openrdms-shared-", dir="/tmp"))
    place.chmod(0o755)
    shared = place / "shared"
    shared.mkdir()
    shutil.chown(shared, ACCOUNT, QEMU)
    shared.chmod(0o2771)
    yield shared
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def two(shared: Path) -> Iterator[list[Machine]]:
    pki = shared.parent / "pki"
    pki.mkdir()
    with machines(2, pki) as made:
        for machine in made:
            machine.kill()
            (machine._directory / "etc/qemu.conf").write_text(SETTINGS)
            machine.start()
        shutil.chown(pki / "clientkey.pem", ACCOUNT)
        yield made


@pytest.fixture(scope="module")
def image(shared: Path, tiny_image: ImageVersion) -> ImageVersion:
    """Where hosts see it."""
    assert tiny_image.kernel
    assert tiny_image.initrd
    disk, kernel, initrd = (
        Path(shutil.copy(file, shared.parent))
        for file in (tiny_image.disk, tiny_image.kernel, tiny_image.initrd)
    )
    return replace(tiny_image, disk=disk, kernel=kernel, initrd=initrd)


def test_what_the_account_makes_is_qemus_too(
    two: list[Machine], shared: Path, image: ImageVersion
) -> None:
    uris = [f"{one.tls}&accel=qemu&shared={shared}&name={one.name}" for one in two]
    uefi = replace(image, firmware=Firmware.UEFI, kernel=None, initrd=None)
    specs = [make_spec(image, "linux"), make_spec(uefi, "uefi")]
    command = f"import sys; sys.path[:] = {sys.path}; from {__name__} import act; act()"
    subprocess.run(
        [sys.executable, "-c", command], input=pickle.dumps((shared, uris, specs)), check=True
    )


def act() -> None:
    """In a process of its own, which becomes that account's once it has read the program."""
    shared, uris, specs = pickle.load(sys.stdin.buffer)
    group, account = pwd.getpwnam(QEMU).pw_uid, pwd.getpwnam(ACCOUNT)
    os.setgroups([group])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    state = Path(tempfile.mkdtemp(prefix="state-", dir=shared))
    one, other = (connect(uri, state, make_runtime_dir(state)) for uri in uris)
    with closing(one), closing(other):
        _go_through_life(one, other, specs[0], state)
        _stay_with_firmware(one, other, specs[1])


def _go_through_life(one: LibvirtHost, other: LibvirtHost, spec: VmSpec, state: Path) -> None:
    make_vm(one, spec)
    one.start(spec.name)
    one.migrate(spec.name, spec.uuid, other)
    assert get_vm(other, spec.name).state is VmState.RUNNING
    other.destroy(spec.name)
    other.export_disk(spec.name, state / "exported.qcow2")
    other.migrate(spec.name, spec.uuid, one)
    one.start(spec.name)
    _remove(one, other, spec)


def _stay_with_firmware(one: LibvirtHost, other: LibvirtHost, spec: VmSpec) -> None:
    """libvirt makes its variables, for QEMU's account alone: no other may give them a name."""
    make_vm(one, spec)
    one.start(spec.name)
    with pytest.raises(OperationFailed, match="Operation not permitted"):
        one.migrate(spec.name, spec.uuid, other)
    assert not one.settle_move(spec.name, spec.uuid, other)
    assert get_vm(one, spec.name).state is VmState.RUNNING
    _remove(one, other, spec)


def _remove(one: LibvirtHost, other: LibvirtHost, spec: VmSpec) -> None:
    remove_vm(one, spec.name)
    for host in (one, other):
        assert host.find_vm(spec.name) is None
        assert leftovers_of(host, spec.name) == []
