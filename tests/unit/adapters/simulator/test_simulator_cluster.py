"""What the simulator does beyond the contract of every host."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.host_suite import EventLog, make_spec, make_vm, remove_vm
from fakes.simulated_death import Lives, StandingClock
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost
from openrdms.adapters.simulator.clock import Clock
from openrdms.model.errors import (
    AlreadyExists,
    GuestUnreachable,
    HostUnavailable,
    InvalidParameter,
    NotFound,
    OperationFailed,
    OutOfSpace,
    RdmsError,
    SessionGone,
    VmNotRunning,
)
from openrdms.model.host import VmEventKind, VmSpec, VmState

FAST = "clone_ms=1&start_ms=1&boot_ms=1&agent_ms=1&destroy_ms=1"


def spec_on(host: SimulatorHost, name: str) -> VmSpec:
    return make_spec(host.images()[0], name)


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[[str], list[SimulatorHost]]]:
    opened: list[SimulatorHost] = []

    def open_cluster(query: str) -> list[SimulatorHost]:
        hosts = simulator.connect(f"simulator://{tmp_path}/sim?{query}")
        opened.extend(hosts)
        return hosts

    yield open_cluster
    for host in opened:
        host.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sim"


@pytest.fixture
def hosts(connect: Callable[[str], list[SimulatorHost]]) -> list[SimulatorHost]:
    return connect(f"hosts=3&users=2&{FAST}")


@pytest.fixture
def host(hosts: list[SimulatorHost]) -> SimulatorHost:
    return hosts[0]


def boot(host: SimulatorHost, name: str) -> None:
    log = EventLog()
    unsubscribe = host.subscribe(log)
    make_vm(host, spec_on(host, name))
    host.start(name)
    log.wait(name, VmEventKind.AGENT_CONNECTED, timeout=60)
    unsubscribe()


def sessions_on(path: Path, vm: str) -> list[dict[str, Any]]:
    machines = (vm for host in simulator.read_state(path)["hosts"] for vm in host["vms"])
    return next(machine["sessions"] for machine in machines if machine["name"] == vm)


# the truth


def test_new_cluster_has_its_hosts_an_image_and_nothing_else(
    hosts: list[SimulatorHost], path: Path
) -> None:
    names = ["host1.sim.local", "host2.sim.local", "host3.sim.local"]
    assert [host.name for host in hosts] == names
    assert [image.reference for host in hosts for image in host.images()] == ["tiny@1"] * 3
    assert simulator.read_state(path) == {
        "hosts": [{"name": name, "disks": [], "vms": []} for name in names]
    }


def test_truth_has_the_documented_shape(host: SimulatorHost, path: Path) -> None:
    boot(host, "desk")
    host.create_disk(replace(spec_on(host, "desk"), generation=2))
    session = host.guest("desk").list_sessions(1)[0]
    host.guest("desk").send_message(session, "Note", "Grüße", 1)
    truth = simulator.read_state(path)
    assert truth["hosts"][0] == {
        "name": "host1.sim.local",
        "disks": ["desk.1.qcow2", "desk.2.qcow2"],
        "vms": [
            {
                "name": "desk",
                "state": "running",
                "disks": ["desk.1.qcow2"],
                "typed": "",
                "sessions": [
                    {
                        "id": "1",
                        "user": "alice",
                        "messages": [{"title": "Note", "text": "Grüße"}],
                    },
                    {"id": "2", "user": "bob", "messages": []},
                ],
            }
        ],
    }
    assert json.loads(json.dumps(truth)) == truth


def test_truth_outlives_every_host_that_was_opened(
    connect: Callable[[str], list[SimulatorHost]], path: Path
) -> None:
    for host in connect(f"hosts=2&{FAST}"):
        make_vm(host, spec_on(host, f"on-{host.name}"))
        host.close()
        host.close()
    assert len(connect("hosts=1")) == 1
    assert [len(host["vms"]) for host in simulator.read_state(path)["hosts"]] == [1, 1]


def test_truth_is_of_one_moment_while_a_service_works(host: SimulatorHost, path: Path) -> None:
    """Every VM seen has its disk, although both are made and taken away all the time."""
    working = threading.Event()
    working.set()

    def work() -> None:
        for number in itertools.count():
            make_vm(host, spec_on(host, f"vm-{number % 5}"))
            remove_vm(host, f"vm-{number % 5}")
            if not working.is_set():
                return

    with ThreadPoolExecutor(1) as thread:
        thread.submit(work)
        for _ in range(100):
            seen = simulator.read_state(path)["hosts"][0]
            assert {disk for vm in seen["vms"] for disk in vm["disks"]} <= set(seen["disks"])
        working.clear()


def test_reading_the_truth_changes_no_file(host: SimulatorHost, path: Path) -> None:
    boot(host, "desk")
    before = {file: file.read_bytes() for file in path.glob("*.sqlite*") if "shm" not in file.name}
    simulator.read_state(path)
    assert all(file.read_bytes() == content for file, content in before.items())


def test_there_is_no_truth_where_no_simulator_was(tmp_path: Path) -> None:
    for call in (
        lambda: simulator.read_state(tmp_path),
        lambda: simulator.log_on(tmp_path, "host1", "desk", "carol"),
    ):
        with pytest.raises(NotFound, match="holds no simulator"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_path_that_cannot_hold_a_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidParameter, match="file"):
        simulator.connect(f"simulator://{tmp_path}/file")


# time, slots, capacity, failures


def seconds_of_clones(uri: str, count: int) -> list[float]:
    """How long each of so many takes that begin at one moment, ``count`` on each host."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        all_begun.wait(60)

    hosts = simulator.connect(uri, Clock(lambda: 1000.0, sleep))
    work = [(host, spec_on(host, f"vm-{n}-{host.name}")) for n in range(count) for host in hosts]
    all_begun = threading.Barrier(len(work))
    with ThreadPoolExecutor(len(work)) as threads:
        list(threads.map(lambda one: one[0].create_disk(one[1]), work))
    for host in hosts:
        host.close()
    return sorted(slept)


def test_a_host_does_so_many_operations_at_once(tmp_path: Path) -> None:
    found = seconds_of_clones(f"simulator://{tmp_path}?hosts=1&slots=2&clone_ms=400", 6)
    assert found == pytest.approx([0.4, 0.4, 0.8, 0.8, 1.2, 1.2])


def test_hosts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    found = seconds_of_clones(f"simulator://{tmp_path}?hosts=10&slots=2&clone_ms=100", 2)
    assert found == pytest.approx([0.1] * 20)


def test_a_host_boots_without_limit(tmp_path: Path) -> None:
    now = StandingClock()
    times = "clone_ms=0&start_ms=0&boot_ms=1000&agent_ms=0"
    host = Lives(now).connect(f"simulator://{tmp_path}?hosts=1&slots=2&{times}")
    names = [f"vm-{number}" for number in range(6)]
    for name in names:
        make_vm(host, spec_on(host, name))
        host.start(name)
    now.sleep(1)
    for name in names:
        host.guest(name).ping(1)


def test_full_host_refuses_a_further_desktop_before_writing(
    connect: Callable[[str], list[SimulatorHost]], path: Path
) -> None:
    (host,) = connect(f"hosts=1&capacity=2&{FAST}")
    assert host.describe().free_bytes == 2 * host.images()[0].virtual_bytes
    for name in ("a", "b"):
        make_vm(host, spec_on(host, name))
    with pytest.raises(OutOfSpace, match=r"host1\.sim\.local"):
        host.create_disk(spec_on(host, "c"))
    host.create_disk(replace(spec_on(host, "a"), generation=2))
    assert simulator.read_state(path)["hosts"][0]["disks"] == [
        "a.1.qcow2",
        "a.2.qcow2",
        "b.1.qcow2",
    ]
    assert host.describe().free_bytes == 0


def outcomes(directory: Path, threads: int, seed: int) -> dict[str, list[str]]:
    """How five attempts on each of eight VMs went."""
    uri = f"simulator://{directory}?hosts=1&slots=4&clone_ms=0&start_ms=0&fail=0.4&seed={seed}"
    (host,) = simulator.connect(uri)

    def attempt(name: str) -> list[str]:
        spec = spec_on(host, name)
        return [try_once(host, spec) for _ in range(5)]

    names = [f"vm-{number}" for number in range(8)]
    with ThreadPoolExecutor(threads) as pool:
        went = dict(zip(names, pool.map(attempt, names), strict=True))
    host.close()
    return went


def try_once(host: SimulatorHost, spec: VmSpec) -> str:
    try:
        make_vm(host, spec)
        host.start(spec.name)
    except OperationFailed as failure:
        return str(failure).split()[0]
    remove_vm(host, spec.name)
    return "done"


def test_runs_repeat_whatever_the_concurrency(tmp_path: Path) -> None:
    alone = outcomes(tmp_path / "alone", threads=1, seed=7)
    assert outcomes(tmp_path / "eight", threads=8, seed=7) == alone
    assert outcomes(tmp_path / "other", threads=8, seed=8) != alone
    counts = [kind for went in alone.values() for kind in went]
    assert set(counts) == {"done", "clone", "start"}


@pytest.mark.parametrize(("fail", "failures"), [("0", 0), ("1", 20)])
def test_failures_come_as_often_as_asked_for(
    connect: Callable[[str], list[SimulatorHost]], fail: str, failures: int
) -> None:
    (host,) = connect(f"hosts=1&fail={fail}&{FAST}")
    failed = 0
    for number in range(20):
        try:
            host.create_disk(spec_on(host, f"vm-{number}"))
        except OperationFailed:
            failed += 1
    assert failed == failures


def test_whatever_failed_can_be_taken_away(
    connect: Callable[[str], list[SimulatorHost]], path: Path
) -> None:
    (host,) = connect(f"hosts=1&fail=0.5&{FAST}")
    for number in range(20):
        try_once(host, spec_on(host, f"vm-{number}"))
        remove_vm(host, f"vm-{number}")
    assert simulator.read_state(path)["hosts"] == [{"name": host.name, "disks": [], "vms": []}]


def test_boot_takes_its_time_though_nobody_looks(tmp_path: Path) -> None:
    now = StandingClock()
    host = Lives(now).connect(f"simulator://{tmp_path}?hosts=1&boot_ms=500&agent_ms=20")
    make_vm(host, spec_on(host, "desk"))
    host.start("desk")
    assert host.find_vm("desk").state == VmState.RUNNING  # type: ignore[union-attr]
    now.sleep(0.49)
    with pytest.raises(GuestUnreachable, match="not connected"):
        host.guest("desk").ping(1)
    now.sleep(0.02)
    assert [one.user for one in host.guest("desk").list_sessions(1)] == ["alice"]


# guests


def test_vms_on_one_host_have_equal_guest_ids(host: SimulatorHost) -> None:
    boot(host, "a")
    boot(host, "b")
    a, b = (host.guest(name).list_sessions(1) for name in "ab")
    assert [one.guest_id for one in a] == [one.guest_id for one in b] == ["1", "2"]
    assert {one.key for one in a}.isdisjoint({one.key for one in b})


def test_messages_go_with_their_session(host: SimulatorHost, path: Path) -> None:
    boot(host, "desk")
    guest = host.guest("desk")
    alice, bob = guest.list_sessions(1)
    guest.send_message(alice, "", "to alice", 1)
    guest.send_message(bob, "", "to bob", 1)
    guest.log_off(alice, 1)
    assert sessions_on(path, "desk") == [
        {"id": "2", "user": "bob", "messages": [{"title": "", "text": "to bob"}]}
    ]


def test_new_boot_has_new_sessions(host: SimulatorHost, path: Path) -> None:
    boot(host, "desk")
    (before, _) = host.guest("desk").list_sessions(1)
    host.guest("desk").send_message(before, "", "old news", 1)
    host.destroy("desk")
    assert sessions_on(path, "desk") == []
    boot(host, "desk")
    with pytest.raises(SessionGone):
        host.guest("desk").log_off(before, 1)
    assert [one["messages"] for one in sessions_on(path, "desk")] == [[], []]


def test_user_logs_on_from_outside(host: SimulatorHost, path: Path) -> None:
    boot(host, "desk")
    assert simulator.log_on(path, "HOST1", "DESK", "carol") == "3"
    assert [one.user for one in host.guest("desk").list_sessions(1)] == ["alice", "bob", "carol"]
    host.destroy("desk")
    with pytest.raises(VmNotRunning):
        simulator.log_on(path, "host1", "desk", "carol")


def test_patched_desktop_has_the_identity_of_its_new_disk(host: SimulatorHost) -> None:
    spec = spec_on(host, "desk")
    make_vm(host, spec)
    assert host.guest("desk").identity().hostname == "tiny"
    make_vm(host, replace(spec, generation=2))
    assert host.guest("desk").identity().machine_id == ""


def test_screen_shows_the_messages(host: SimulatorHost) -> None:
    boot(host, "desk")
    before = host.screenshot("desk")
    guest = host.guest("desk")
    guest.send_message(guest.list_sessions(1)[0], "Note", "Save your work.", 1)
    assert host.screenshot("desk") != before


# faults and strangers


def test_silent_guest_does_not_shut_down_and_comes_back(host: SimulatorHost, path: Path) -> None:
    boot(host, "desk")
    simulator.set_fault(path, "host1", "desk", "silent")
    with pytest.raises(GuestUnreachable, match=r"0\.05 s"):
        host.guest("desk").ping(0.05)
    with pytest.raises(OperationFailed, match="did not shut down"):
        host.shut_down("desk", 0.05)
    simulator.set_fault(path, "host1", "desk")
    host.guest("desk").ping(1)


def test_host_that_is_down_says_so_in_every_call(hosts: list[SimulatorHost], path: Path) -> None:
    host, other, _ = hosts
    boot(host, "desk")
    simulator.set_fault(path, host.name, fault="down")
    assert not host.describe().reachable
    unsubscribe = host.subscribe(EventLog())
    for call in (
        host.list_vms,
        host.list_leftovers,
        lambda: host.start("desk"),
        lambda: host.destroy("desk"),
        lambda: host.create_disk(spec_on(host, "new")),
    ):
        with pytest.raises(HostUnavailable, match=host.name):
            call()
    with pytest.raises(GuestUnreachable):
        host.guest("desk").ping(1)
    assert other.describe().reachable
    simulator.set_fault(path, host.name)
    host.guest("desk").ping(1)
    unsubscribe()


def test_faults_that_make_no_sense_are_refused(host: SimulatorHost, path: Path) -> None:
    boot(host, "desk")
    for vm, fault in (("", "silent"), ("desk", "down")):
        with pytest.raises(InvalidParameter, match="fault"):
            simulator.set_fault(path, host.name, vm, fault)
    with pytest.raises(NotFound, match="absent"):
        simulator.set_fault(path, host.name, "absent", "silent")
    with pytest.raises(NotFound, match="host9"):
        simulator.set_fault(path, "host9", fault="down")


def test_stranger_runs_with_a_user_and_its_own_disk(host: SimulatorHost, path: Path) -> None:
    simulator.add_stranger(path, "host1", "theirs")
    (vm,) = host.list_vms()
    assert (vm.name, vm.state, vm.ownership) == ("theirs", VmState.RUNNING, None)
    assert [one.user for one in host.guest("theirs").list_sessions(1)] == ["alice"]
    assert simulator.read_state(path)["hosts"][0]["disks"] == ["theirs.qcow2"]
    assert host.list_leftovers() == []
    with pytest.raises(AlreadyExists):
        simulator.add_stranger(path, "host1", "THEIRS")
    host.shut_down("theirs", 1)
    with pytest.raises(RdmsError, match="not a VM of ours"):
        host.undefine("theirs")
