"""A real libvirtd that is frozen and killed: the loss of a host is noticed in time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from live.service import until
from live.slowdown import slowdown
from openrdms.adapters.libvirt.host import connect
from openrdms.runtime_dir import make_runtime_dir
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts

pytestmark = pytest.mark.libvirt

NOTICED_WITHIN_S = 10.0
"""The bar; libvirt's own keepalive takes 20. A busy machine has as many times as it is slower."""

OWN_PLACES = " && ".join(
    f"mount -t tmpfs own {place}"
    for place in ("/run", "/var/lib/libvirt", "/var/cache/libvirt")
)  # fmt: skip


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Its socket, and the process, which sees none of the machine's own libvirt."""
    sockets = tmp_path / "s"
    sockets.mkdir()
    settings = tmp_path / "libvirtd.conf"
    log = tmp_path / "log"
    settings.write_text(
        f'unix_sock_dir = "{sockets}"\nauth_unix_rw = "none"\nlog_outputs = "3:file:{log}"\n'
    )
    run = f"{OWN_PLACES} && exec libvirtd -f {settings} -p {tmp_path / 'pid'}"
    started = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "-m", "sh", "-c", run])
    socket = sockets / "libvirt-sock"
    until("libvirtd listens", socket.exists, 60)
    yield socket, started
    started.kill()
    started.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount over the machine's libvirt")
def test_a_frozen_or_killed_daemon_is_noticed_before_libvirt_does(
    daemon: tuple[Path, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    socket, process = daemon
    state = tmp_path / "state"
    state.mkdir()
    uri = f"qemu+unix:///system?socket={socket}&name=far&accel=qemu"
    hosts = Hosts([connect(uri, state, make_runtime_dir(state))])
    health = HostHealth(hosts, lambda: datetime.now(UTC))
    health.start()
    until("it was asked", lambda: not health.is_away("far"))
    with slowdown() as machine:
        process.send_signal(signal.SIGSTOP)
        seconds = measure(lambda: health.is_away("far"))
    print(f"noticed after {seconds:.1f} s, on a machine {machine.mean:.1f} times as slow")
    assert seconds < NOTICED_WITHIN_S * machine.mean
    process.send_signal(signal.SIGCONT)
    until("it is back", lambda: not health.is_away("far"))
    process.kill()
    until("it is away", lambda: health.is_away("far"))
    health.close()


def measure(condition: Callable[[], bool]) -> float:
    """Seconds until it is so."""
    begin = time.monotonic()
    until("it is so", condition, 60)
    return time.monotonic() - begin
