"""VMs outlive the process that embeds libvirt, and one process at a time embeds it."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from live.service import destroy_qemus
from openrdms.model.host import DiskKind, Leftover, Ownership, VmInfo, VmSpec, VmState
from openrdms.model.image import ImageVersion

pytestmark = pytest.mark.libvirt

OPEN = """
import os, pickle, sys
from openrdms.adapters.libvirt.host import connect
from openrdms.runtime_dir import make_runtime_dir
state_dir, spec = pickle.load(sys.stdin.buffer)
host = connect("qemu:///embed", state_dir, make_runtime_dir(state_dir))
"""
START = "host.create_disk(spec); host.define(spec); host.start(spec.name)\n"
START_AND_DIE = START + "os.kill(os.getpid(), 9)\n"
FIND = "pickle.dump((host.find_vm(spec.name), host.list_leftovers()), sys.stdout.buffer)"
REMOVE = """
host.destroy(spec.name); host.undefine(spec.name); host.delete_disk(spec.name, 1)
pickle.dump(host.list_leftovers(), sys.stdout.buffer)
"""
OPEN_AGAIN_ELSEWHERE = """
import subprocess
done = subprocess.run([sys.executable, "-c", os.environ["OPEN"]], capture_output=True,
                      input=pickle.dumps((state_dir, spec)))
sys.stdout.buffer.write(done.stderr)
"""


@pytest.fixture
def spec(tiny_image: ImageVersion) -> VmSpec:
    owner = Ownership("A", "{1}", tiny_image.reference)
    linked = DiskKind.LINKED
    return VmSpec("survivor", UUID(int=5), "52:54:00:00:00:05", tiny_image, linked, 1, owner)


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    destroy_qemus(tmp_path)


def run(
    script: str, state_dir: Path, spec: VmSpec, before: str = ""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", "import os\n" + before + OPEN + script],
        input=pickle.dumps((state_dir, spec)),
        stdout=subprocess.PIPE,
        env={"OPEN": OPEN},
        check=False,
    )


def test_vm_goes_on_and_is_found_again(state_dir: Path, spec: VmSpec) -> None:
    assert run(START_AND_DIE, state_dir, spec).returncode == -signal.SIGKILL
    vm: VmInfo
    leftovers: list[Leftover]
    vm, leftovers = pickle.loads(run(FIND, state_dir, spec).stdout)
    assert (vm.uuid, vm.state, vm.ownership) == (spec.uuid, VmState.RUNNING, spec.ownership)
    assert {left.kind for left in leftovers} == {"vm", "disk", "socket", "process"}
    assert {left.vm for left in leftovers} == {spec.name}
    assert pickle.loads(run(REMOVE, state_dir, spec).stdout) == []


def test_vm_runs_where_new_files_are_private(state_dir: Path, spec: VmSpec) -> None:
    """QEMU's account gets through although the service's umask closes all it makes to others."""
    closed = "os.umask(0o077)\n"
    assert run(START, state_dir, spec, before=closed).returncode == 0
    vm, _ = pickle.loads(run(FIND, state_dir, spec).stdout)
    assert vm.state == VmState.RUNNING


def test_second_process_is_told_why_it_cannot_open(state_dir: Path, spec: VmSpec) -> None:
    refused = run(OPEN_AGAIN_ELSEWHERE, state_dir, spec).stdout.decode()
    assert "HostUnavailable: qemu:///embed" in refused
    assert "driver.pid" in refused
