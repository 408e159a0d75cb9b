from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from openrdms.adapters.libvirt.priority import give_way
from openrdms.adapters.libvirt.reaper import reaper_of
from openrdms.adapters.processes import NICE

DAEMON = "reaped-daemon"


@pytest.fixture
def daemon(tmp_path: Path) -> Callable[[float], int]:
    """Starts a daemon of that name, as libvirt does: double fork, own session; gives its pid."""
    program = tmp_path / DAEMON
    shutil.copy("/bin/sleep", program)

    def start(seconds: float) -> int:
        script = 'setsid "$0" "$1" >/dev/null 2>&1 & echo $!'
        command = ["bash", "-c", script, program, str(seconds)]
        pid = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        wait_until(lambda: not is_program_still_to_come(pid))
        return pid

    return start


def is_program_still_to_come(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() != DAEMON
    except OSError:
        return False  # it has been reaped already


def wait_until_reaped(pid: int) -> None:
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_daemon_that_ends_within_the_call_is_reaped(daemon: Callable[[float], int]) -> None:
    with reaper_of(DAEMON).attended():
        wait_until_reaped(daemon(0.05))


def test_daemon_that_ends_later_is_reaped(daemon: Callable[[float], int]) -> None:
    with reaper_of(DAEMON).attended():
        pid = daemon(60)
    time.sleep(0.2)
    os.kill(pid, 9)
    wait_until_reaped(pid)


def test_daemon_gives_way(daemon: Callable[[float], int]) -> None:
    with reaper_of(DAEMON).attended():
        pid = daemon(60)
        wait_until(lambda: gives_way(pid))
        os.kill(pid, 9)
        wait_until_reaped(pid)


def gives_way(pid: int) -> bool:
    session = Path(f"/proc/{pid}/autogroup")
    told = session.read_text().endswith(f" nice {NICE}\n") if session.exists() else True
    return told and os.getpriority(os.PRIO_PROCESS, pid) == NICE


def test_who_is_not_root_asks_again() -> None:
    """The kernel takes one request in a tenth of a second from him, for any session."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if was_put_off_as_nobody() == Path("/proc/self/autogroup").exists() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def was_put_off_as_nobody() -> bool:
    """Whether one of several requests was; all have been granted in the end."""
    if os.geteuid() == 0:
        os.setuid(65534)
    sleepers = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(5)]
    was_put_off = not all(give_way(sleeper.pid) for sleeper in sleepers)
    for sleeper in sleepers:
        wait_until(partial(give_way, sleeper.pid))
        assert gives_way(sleeper.pid)
    for sleeper in sleepers:
        sleeper.kill()
        sleeper.wait()
    return was_put_off


def test_daemon_that_was_killed_before_it_became_that_program_is_reaped() -> None:
    with reaper_of(DAEMON).attended():
        pid = fork_daemon()
        os.kill(pid, 9)
        wait_until_reaped(pid)


def fork_daemon() -> int:
    """As libvirt does, up to its program: a grandchild in the session of a child that has ended."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(sink, str(os.getpid()).encode())
            signal.pause()
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(source, 20))
    os.close(source)
    os.close(sink)
    return pid


def test_children_of_others_are_left_to_them(tmp_path: Path) -> None:
    program = tmp_path / DAEMON
    shutil.copy("/bin/false", program)
    with reaper_of(DAEMON).attended():
        child = subprocess.Popen([program])
        time.sleep(0.2)
        assert child.wait() == 1
