"""Callers die at any moment; what they leave is consistent, and repeating reaches the goal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.host_suite import EventLog, make_spec, make_vm
from fakes.simulated_death import CallerKilled, Lives, StandingClock, how_made
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost
from openrdms.adapters.simulator.clock import processes, token_of
from openrdms.model.errors import GuestUnreachable
from openrdms.model.host import VmEventKind, VmSpec, VmState

VMS = ("a", "b")
ONE_HOST = "hosts=1&clone_ms=50&start_ms=100&boot_ms=500"

Step = Callable[[SimulatorHost, VmSpec], None]
STEPS: dict[str, Step] = {
    "create_disk": lambda host, spec: host.create_disk(spec),
    "define": lambda host, spec: host.define(spec),
    "start": lambda host, spec: host.start(spec.name),
    "save": lambda host, spec: host.save(spec.name),
    "destroy": lambda host, spec: host.destroy(spec.name),
    "undefine": lambda host, spec: host.undefine(spec.name),
    "delete_disk": lambda host, spec: host.delete_disk(spec.name, spec.generation),
}
MAKING = ("create_disk", "define", "start")
REMOVING = ("destroy", "undefine", "delete_disk")
HOW_MADE = {"no", "half", "whole"}
CYCLES = st.lists(st.sampled_from(VMS), min_size=1, max_size=6)


BOOT_AND_HANG = """
import sys, time
from contract.host_suite import make_spec, make_vm
from openrdms.adapters import simulator
(host,) = simulator.connect(sys.argv[1])
make_vm(host, make_spec(host.images()[0], "desk"))
host.start("desk")
print("started", flush=True)
time.sleep(60)
"""


def make(host: SimulatorHost, vm: str) -> None:
    """From the beginning: no disk is made under a VM that runs."""
    spec = make_spec(host.images()[0], vm)
    for step in ("destroy", *MAKING):
        STEPS[step](host, spec)


def remove(host: SimulatorHost, vm: str) -> None:
    spec = make_spec(host.images()[0], vm)
    for step in REMOVING:
        STEPS[step](host, spec)


def truth_as_ports_tell_it(host: SimulatorHost) -> tuple[list[tuple[str, str]], list[str]]:
    vms = [(vm.name, vm.state.name.lower()) for vm in host.list_vms()]
    return sorted(vms), sorted(left.name for left in host.list_leftovers() if left.kind == "disk")


def truth_as_read(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    (host,) = simulator.read_state(path)["hosts"]
    return sorted((vm["name"], vm["state"]) for vm in host["vms"]), sorted(host["disks"])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), vms=CYCLES, removed=CYCLES, dies_in_sleep=st.integers(1, 12))
def test_repeating_what_a_dead_caller_did_reaches_the_goal(
    seed: int, vms: list[str], removed: list[str], dies_in_sleep: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        uri = f"simulator://{directory}?{ONE_HOST}&seed={seed}"
        lives = Lives(StandingClock())
        doomed = lives.connect(uri, dies_in_sleep)
        with contextlib.suppress(CallerKilled):
            for vm in vms:
                make(doomed, vm)
            for vm in removed:
                remove(doomed, vm)
        before = truth_as_read(Path(directory))
        survivor = lives.connect(uri)
        assert truth_as_ports_tell_it(survivor) == before
        for vm in VMS:
            make(survivor, vm)
        assert truth_as_read(Path(directory)) == (
            [(vm, "running") for vm in VMS],
            [f"{vm}.1.qcow2" for vm in VMS],
        )
        for vm in VMS:
            remove(survivor, vm)
        assert truth_as_read(Path(directory)) == ([], [])


@pytest.mark.parametrize(
    ("step", "before", "outcomes"),
    [
        ("create_disk", (), HOW_MADE),
        ("start", MAKING[:2], {VmState.STOPPED, VmState.PAUSED, VmState.RUNNING}),
        ("destroy", MAKING, {VmState.STOPPED, VmState.PAUSED, VmState.RUNNING}),
        ("save", MAKING, {VmState.SAVED, VmState.PAUSED, VmState.RUNNING}),
        ("start", (*MAKING, "save"), {VmState.SAVED, VmState.RUNNING}),
    ],
)
def test_a_death_leaves_done_not_done_and_half_done(
    tmp_path: Path, step: str, before: tuple[str, ...], outcomes: set[object]
) -> None:
    lives = Lives(StandingClock())
    uri = f"simulator://{tmp_path}?{ONE_HOST}"
    survivor = lives.connect(uri)
    seen: Counter[object] = Counter()
    for number in range(60):
        spec = make_spec(survivor.images()[0], f"vm-{number}")
        for earlier in before:
            STEPS[earlier](survivor, spec)
        with pytest.raises(CallerKilled):
            STEPS[step](lives.connect(uri, dies_in_sleep=1), spec)
        vm = survivor.find_vm(spec.name)
        seen[how_made(tmp_path, spec) if vm is None else vm.state] += 1
    assert set(seen) == outcomes
    assert min(seen.values()) > 8


def test_agent_is_told_of_when_a_dead_callers_start_turns_out_done(tmp_path: Path) -> None:
    uri = f"simulator://{tmp_path}?{ONE_HOST}"
    lives = Lives(StandingClock(time.time()))
    maker = lives.connect(uri)
    for name in (f"vm-{number}" for number in range(12)):
        make_vm(maker, make_spec(maker.images()[0], name))
        with pytest.raises(CallerKilled):
            lives.connect(uri, dies_in_sleep=1).start(name)
    (truth,) = simulator.read_state(tmp_path)["hosts"]
    running = [vm["name"] for vm in truth["vms"] if vm["state"] == "running"]
    (host,) = simulator.connect(uri)
    log = EventLog()
    host.subscribe(log)
    for name in running:
        log.wait(name, VmEventKind.AGENT_CONNECTED, timeout=30)
    assert running
    host.close()


def test_killed_process_leaves_vms_that_go_on_booting(tmp_path: Path) -> None:
    uri = f"simulator://{tmp_path}?hosts=1&clone_ms=1&start_ms=1&boot_ms=100000"
    process = subprocess.Popen(
        [sys.executable, "-c", BOOT_AND_HANG, uri],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.kill()
    process.wait()
    process.stdout.close()
    now = StandingClock(time.time())
    (host,) = simulator.connect(uri, now.clock())
    log = EventLog()
    host.subscribe(log)
    with pytest.raises(GuestUnreachable):
        host.guest("desk").ping(1)
    now.sleep(100)
    log.wait("desk", VmEventKind.AGENT_CONNECTED, timeout=30)
    assert [one.user for one in host.guest("desk").list_sessions(1)] == ["alice"]
    host.close()


def test_killed_process_is_dead_before_it_is_reaped() -> None:
    process = subprocess.Popen(["sleep", "60"])
    token = token_of(process.pid)
    assert processes().alive(token)
    process.kill()
    deadline = time.monotonic() + 30
    while processes().alive(token) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not processes().alive(token)
    assert process.wait() == -signal.SIGKILL


def test_pid_given_to_another_process_is_not_the_caller() -> None:
    pid, started, boot = processes().me.split("@")
    assert processes().alive(processes().me)
    assert not processes().alive(f"{pid}@{int(started) - 1}@{boot}")
