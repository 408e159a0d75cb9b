"""A service that is killed while a real VM moves: one VM is left, and it runs."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE

import libvirt
import pytest

from contract.host_suite import get_vm, leftovers_of, make_spec, make_vm, remove_vm
from live.namespaces import Machine, machines, why_not
from openrdms.adapters.libvirt.host import LibvirtHost, connect
from openrdms.model.host import VmState
from openrdms.model.image import ImageVersion
from openrdms.runtime_dir import make_runtime_dir

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

MOVE = """
import pickle, sys
from openrdms.adapters.libvirt.host import connect
from openrdms.runtime_dir import make_runtime_dir
state, uris, spec = pickle.load(sys.stdin.buffer)
source, target = [connect(uri, state, make_runtime_dir(state)) for uri in uris]
print("begins", flush=True)
source.migrate(spec.name, spec.uuid, target)
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def two(state: Path) -> Iterator[list[Machine]]:
    with machines(2, state) as made:
        yield made


@pytest.fixture(scope="module")
def uris(two: list[Machine], state: Path) -> list[str]:
    return [f"{one.tls}&accel=qemu&shared={state}/s&name={one.name}" for one in two]


@pytest.fixture(scope="module")
def hosts(uris: list[str], state: Path) -> Iterator[list[LibvirtHost]]:
    with ExitStack() as opened:
        made = [connect(uri, state, make_runtime_dir(state)) for uri in uris]
        for host in made:
            opened.callback(host.close)
        yield made


@pytest.mark.parametrize("after", [0.0, 1.5])
def test_one_vm_is_left_and_runs(
    two: list[Machine],
    hosts: list[LibvirtHost],
    uris: list[str],
    state: Path,
    tiny_image: ImageVersion,
    after: float,
) -> None:
    """It is killed so many seconds after its move began; the next move comes to its end."""
    source, target = hosts
    spec = make_spec(tiny_image, f"killed-{after:.0f}")
    make_vm(source, spec)
    source.start(spec.name)
    bound_speed(two[0], spec.name, 4)  # so its memory takes a while on its way
    begun = pickle.dumps((state, uris, spec))
    with subprocess.Popen([sys.executable, "-c", MOVE], stdin=PIPE, stdout=PIPE) as mover:
        assert mover.stdin
        assert mover.stdout
        mover.stdin.write(begun)
        mover.stdin.close()
        assert mover.stdout.readline() == b"begins\n"
        time.sleep(after)
        mover.kill()
    moved = source.settle_move(spec.name, spec.uuid, target)
    here, gone = (target, source) if moved else (source, target)
    assert get_vm(here, spec.name).state is VmState.RUNNING
    assert gone.find_vm(spec.name) is None
    assert leftovers_of(gone, spec.name) == []
    if not moved:
        bound_speed(two[0], spec.name, 1000)
        source.migrate(spec.name, spec.uuid, target)
    assert get_vm(target, spec.name).state is VmState.RUNNING
    assert leftovers_of(source, spec.name) == []
    remove_vm(target, spec.name)


def bound_speed(machine: Machine, vm: str, mib: int) -> None:
    """MiB a second in which its memory goes."""
    connection = libvirt.open(machine.unix)
    connection.lookupByName(vm).migrateSetMaxSpeed(mib)
    connection.close()
