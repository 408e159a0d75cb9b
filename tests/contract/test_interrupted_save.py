"""A service that is killed while libvirt writes a VM's memory to disk leaves a VM that goes on.

Each life is a process of its own, since one can have one root of libvirt's embedded driver.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from openrdms.model.image import ImageVersion

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(400)]

_LIFE = """
import os, pickle, sys, threading, time
from pathlib import Path
from contract.host_suite import EventLog, get_vm, kinds_of, make_spec, make_vm, remove_vm
from openrdms.adapters.libvirt.host import connect
from openrdms.model.errors import GuestUnreachable
from openrdms.model.host import VmState
from openrdms.runtime_dir import make_runtime_dir

place = Path(sys.argv[1])
host = connect("qemu:///embed?name=suite", place, make_runtime_dir(place))
log = EventLog()
host.subscribe(log)
"""

_ANSWERS = """
def answers(host):
    # libvirt takes up a guest's agent again some time after it has found the VM
    deadline = time.monotonic() + 120
    while True:
        try:
            return host.guest("vm").ping(15)
        except GuestUnreachable:
            assert time.monotonic() < deadline
            time.sleep(0.2)
"""

_KILLED = """
spec = make_spec(pickle.loads((place / "image").read_bytes()), "vm")
make_vm(host, spec)
log.boot(host, "vm", 300)

def kill_when_it_is_being_written():
    while "saved" not in kinds_of(host, "vm"):
        time.sleep(0.001)
    os.kill(os.getpid(), 9)

threading.Thread(target=kill_when_it_is_being_written).start()
host.save("vm")
"""

_NEXT = """
assert "saved" not in kinds_of(host, "vm"), "it would be restored over a disk that has changed"
host.start("vm")
assert get_vm(host, "vm").state is VmState.RUNNING
assert "saved" not in kinds_of(host, "vm")
answers(host)
host.save("vm")
host.start("vm")
answers(host)
remove_vm(host, "vm")
assert host.list_leftovers() == []
os._exit(0)
"""


def live(place: Path, *code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "".join((_LIFE, *code)), str(place)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_killed_in_the_middle_of_a_save_the_vm_goes_on(
    tmp_path: Path, tiny_image: ImageVersion
) -> None:
    (tmp_path / "image").write_bytes(pickle.dumps(tiny_image))
    killed = live(tmp_path, _KILLED)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    followed = live(tmp_path, _ANSWERS, _NEXT)
    assert followed.returncode == 0, followed.stderr
