from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from openrdms.adapters.libvirt.leftovers import find_processes


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Starts a process that sleeps under that command line, gives its pid, and ends it."""
    with ExitStack() as started:

        def run(*argv: str) -> int:
            script = "import time; print(flush=True); time.sleep(60)"
            command = [argv[0], "-c", script, *argv[1:]]
            process = started.enter_context(
                subprocess.Popen(command, executable="/usr/bin/python3", stdout=subprocess.PIPE)
            )
            started.callback(process.kill)
            assert process.stdout
            process.stdout.readline()
            return process.pid

        yield run


def test_qemu_of_ours_is_found_with_its_vm(start: Callable[..., int], tmp_path: Path) -> None:
    desktops = tmp_path / "desktops"
    disk = f'{{"filename":"{desktops}/a,b.1.qcow2"}}'
    emulator, name = "/usr/bin/qemu-system-x86_64", "guest=a,,b,debug-threads=on"
    pid = start(emulator, "-name", name, "-blockdev", disk)
    start(emulator, "-name", name, "-blockdev", disk.replace("desktops", "desktops-of-others"))
    start("vim", "-name", name, "-blockdev", disk)
    assert list(find_processes([desktops])) == [(pid, "a,b")]


def test_qemu_without_a_name_is_found_too(start: Callable[..., int], tmp_path: Path) -> None:
    pid = start("qemu-system-x86_64", "-qmp", f"unix:{tmp_path}/qmp.monitor")
    assert list(find_processes([tmp_path])) == [(pid, "")]
