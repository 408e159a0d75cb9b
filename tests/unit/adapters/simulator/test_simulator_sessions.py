"""What simulated hosts tell of users, images that must be copied, faults of guests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from contract.host_suite import EventLog, make_spec, make_vm
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost, events
from openrdms.model.errors import (
    GuestUnreachable,
    InvalidOperation,
    InvalidParameter,
    NotFound,
    OperationFailed,
)
from openrdms.model.host import VmEvent, VmEventKind, VmSpec

FAST = "hosts=1&clone_ms=1&start_ms=1&boot_ms=20&agent_ms=1&destroy_ms=1&save_ms=1&copy_ms=20"
ON, OFF = VmEventKind.LOGGED_ON, VmEventKind.LOGGED_OFF


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sim"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[[str], SimulatorHost]]:
    opened: list[SimulatorHost] = []

    def open_host(query: str) -> SimulatorHost:
        (host,) = simulator.connect(f"simulator://{path}?{FAST}&{query}")
        opened.append(host)
        return host

    yield open_host
    for host in opened:
        host.close()


def boot(host: SimulatorHost, name: str = "desk") -> EventLog:
    log = EventLog()
    host.subscribe(log)
    make_vm(host, make_spec(host.images()[0], name))
    host.start(name)
    log.wait(name, VmEventKind.AGENT_CONNECTED, timeout=30)
    return log


def kinds(log: EventLog) -> list[VmEventKind]:
    return [event.kind for event in log._events]


def settled(log: EventLog, count: int) -> list[VmEventKind]:
    with log._arrived:
        log._arrived.wait_for(lambda: len(log._events) >= count, 60)
    return kinds(log)


def seconds_until(log: EventLog, kind: VmEventKind, act: Callable[[], object]) -> float:
    """Of the machine, from the act to one more event of that kind."""
    before, begun = log.count("desk", kind), time.monotonic()
    act()
    with log._arrived:
        assert log._arrived.wait_for(lambda: log.count("desk", kind) > before, 60)
    return time.monotonic() - begun


def test_users_are_told_of_at_boot_and_when_their_vm_stops(
    connect: Callable[[str], SimulatorHost],
) -> None:
    host = connect("users=1")
    log = boot(host)
    log.wait("desk", ON, timeout=30)
    host.destroy("desk")
    assert settled(log, 6) == [
        VmEventKind.STARTED,
        VmEventKind.AGENT_CONNECTED,
        ON,
        VmEventKind.AGENT_DISCONNECTED,
        OFF,
        VmEventKind.STOPPED,
    ]
    assert host.tells_sessions


def test_log_on_and_log_off_in_this_process_are_told_at_once(
    connect: Callable[[str], SimulatorHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_LOOK_SECONDS", 60)  # told, not found by a look at the file
    host = connect("users=0")
    log, guest = boot(host), host.guest("desk")
    mark = guest.logon_mark(1)
    seconds_until(log, ON, lambda: guest.log_on("carol"))
    for session in guest.list_sessions(1):
        seconds_until(log, OFF, partial(guest.log_off, session, 1))
    assert guest.logon_mark(1) != mark, "the mark remembers who has left"


def test_log_on_by_another_process_is_told_soon(
    connect: Callable[[str], SimulatorHost], path: Path
) -> None:
    host = connect("users=0")
    log = boot(host)
    seconds: list[float] = []
    for _ in range(5):
        for tell, kind in ((simulator.log_on, ON), (simulator.log_off, OFF)):
            seconds.append(seconds_until(log, kind, partial(tell, path, "host1", "desk", "carol")))
    assert min(seconds) < 1
    with pytest.raises(NotFound, match="carol"):
        simulator.log_off(path, "host1", "desk", "carol")
    assert (log.count("desk", ON), log.count("desk", OFF)) == (5, 5)


def test_looking_for_other_processes_costs_next_to_nothing(
    connect: Callable[[str], SimulatorHost],
) -> None:
    connect("users=0").subscribe(EventLog())
    time.sleep(0.2)
    used = []
    for _ in range(4):
        before = time.process_time()
        time.sleep(0.5)
        used.append(time.process_time() - before)
    assert min(used) < 0.12  # other threads of this process work now and then


def test_saved_session_is_no_log_off_until_its_memory_is_dropped(
    connect: Callable[[str], SimulatorHost],
) -> None:
    host = connect("users=1")
    log = boot(host)
    log.wait("desk", ON, timeout=30)
    host.save("desk")
    log.wait("desk", VmEventKind.STOPPED, timeout=30)
    assert log.count("desk", OFF) == 0
    host.destroy("desk")
    log.wait("desk", OFF, timeout=30)


def test_mark_changes_with_the_boot(connect: Callable[[str], SimulatorHost]) -> None:
    host = connect("users=0")
    boot(host)
    mark = host.guest("desk").logon_mark(1)
    assert host.guest("desk").logon_mark(1) == mark
    host.destroy("desk")
    boot(host)
    assert host.guest("desk").logon_mark(1) != mark


def test_hurried_clock_boots_sooner(path: Path) -> None:
    (host,) = simulator.connect(
        f"simulator://{path}?hosts=1&boot_ms=60000&start_ms=10000", simulator.hurried(1000)
    )
    begun = time.monotonic()
    boot(host).wait("desk", ON, timeout=30)
    assert time.monotonic() - begun < 30
    host.close()


# images


def test_image_of_others_is_copied_and_goes_on_where_it_ended(
    connect: Callable[[str], SimulatorHost],
) -> None:
    host = connect("")
    image = replace(host.images()[0], name="other")
    assert host.has_image(host.images()[0])
    assert not host.has_image(image)
    shares: list[float] = []
    with pytest.raises(InvalidOperation, match="other@1"):
        host.copy_image(image, lambda: len(shares) < 4, shares.append)
    assert not host.has_image(image)
    host.copy_image(image, lambda: True, shares.append)
    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (11, 1.0)
    assert host.has_image(image)
    host.drop_image(image)
    assert not host.has_image(image)


def test_corrupt_copy_is_removed(connect: Callable[[str], SimulatorHost], path: Path) -> None:
    host = connect("")
    image = replace(host.images()[0], name="other")
    simulator.set_image_fault(path, "other@1", "corrupt")
    with pytest.raises(OperationFailed, match="checksum"):
        host.copy_image(image, lambda: True, lambda _: None)
    assert not host.has_image(image)
    simulator.set_image_fault(path, "other@1")
    host.copy_image(image, lambda: True, lambda _: None)


# faults


def test_guest_without_agent_never_answers(
    connect: Callable[[str], SimulatorHost], path: Path
) -> None:
    host = connect("users=1")
    simulator.set_image_fault(path, "tiny@1", "no-agent")
    log = EventLog()
    host.subscribe(log)
    make_vm(host, make_spec(host.images()[0], "desk"))
    host.start("desk")
    log.wait("desk", VmEventKind.STARTED, timeout=30)
    time.sleep(0.1)
    with pytest.raises(GuestUnreachable):
        host.guest("desk").ping(0.1)
    assert VmEvent(ON, host.name, "desk") not in log._events
    host.shut_down("desk", 1)
    simulator.set_image_fault(path, "tiny@1")
    host.start("desk")
    log.wait("desk", VmEventKind.AGENT_CONNECTED, timeout=30)


@pytest.mark.parametrize("of_image", [True, False])
def test_probe_fails(
    connect: Callable[[str], SimulatorHost], path: Path, *, of_image: bool
) -> None:
    host = connect("")
    boot(host)
    assert host.guest("desk").run_command("true", 1).status == 0
    if of_image:
        simulator.set_image_fault(path, "tiny@1", "probe")
    else:
        simulator.set_fault(path, "host1", "desk", "probe")
    result = host.guest("desk").run_command("systemctl is-system-running", 1)
    assert (result.status, "failed" in result.output) == (1, True)


def test_slow_host_takes_ten_times_as_long(
    connect: Callable[[str], SimulatorHost], path: Path
) -> None:
    host = connect("")
    make_vm(host, make_spec(host.images()[0], "desk"))
    simulator.set_fault(path, "host1", fault="slow")
    begun = time.monotonic()
    host.create_disk(make_spec(host.images()[0], "desk", 2))
    assert time.monotonic() - begun >= 0.01
    assert host.describe().reachable


def test_unknown_image_fault_is_refused(
    connect: Callable[[str], SimulatorHost], path: Path
) -> None:
    connect("")
    with pytest.raises(InvalidParameter, match="fault"):
        simulator.set_image_fault(path, "tiny@1", "silent")


# many


def test_clone_costs_the_same_on_a_full_host(connect: Callable[[str], SimulatorHost]) -> None:
    """Counted in SQLite's own steps, not in time: what is read does not grow with the host."""
    host = connect("")
    steps: list[int] = []
    for number in range(300):
        host.create_disk(make_spec(host.images()[0], f"vm-{number}"))
        if number in (10, 290):
            steps.append(steps_of(host, make_spec(host.images()[0], f"more-{number}")))
    assert steps[1] <= steps[0] * 1.3


def steps_of(host: SimulatorHost, spec: VmSpec) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    db = host._cluster._state._db
    db.set_progress_handler(step, 1)
    host.create_disk(spec)
    db.set_progress_handler(None, 1)
    return count
