"""The balancer's settings as they are shipped, before three services of which one after the other
goes. HAProxy has the ports of its file, on addresses of loopback that nobody else has.

One run takes a minute. What it prints is kept in docs/proofs/haproxy.txt.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from functional.test_cli import Rdms
from live.browser import WebClient
from live.displays import get_ticket, open_display
from live.postgresql import PostgreSql
from live.service import PASSWORD, USER, Service, until
from live.services import Member, Services, simulated
from openrdms.security import certificate

SETTINGS = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
ENVIRONMENT, NODE = "Win32_RDMSEnvironment", "Win32_RDMSJoinedNode"
PORTS = {
    "--web-port": 8443,
    "--rdp-port": 3389,
    "--wsman-http-port": 5985,
    "--wsman-https-port": 5986,
    "--cimxml-http-port": 5988,
    "--cimxml-https-port": 5989,
}
HTTP = [("https", 8443), ("https", 5986), ("https", 5989), ("http", 5985), ("http", 5988)]
SPEED = "hosts=1&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5&users=0"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class Balanced:
    """``front`` is what clients see of all: it is never started."""

    services: Services
    front: Service
    log: Path

    def owner(self) -> Member:
        """Which service clients of this machine come to."""
        assert self.front.wire().invoke(ENVIRONMENT, "SetActiveServer").return_value == 0
        query = "SELECT service FROM audit_log WHERE what LIKE %s ORDER BY sequence DESC LIMIT 1"
        [(service,)] = self.services.read(query, "%SetActiveServer")
        return next(one for one in self.services.members if one.ready["service"] == service)

    def count(self, member: Member, state: str) -> int:
        """How often HAProxy has said that it is UP or DOWN."""
        number = self.services.members.index(member) + 1
        return self.log.read_text().count(f"Server web/service{number} is {state}")


@pytest.fixture(scope="module")
def balanced(
    postgresql: PostgreSql, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balanced]:
    place = tmp_path_factory.mktemp("haproxy")
    net = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}"
    front = Service(place / "front")
    certificate.ensure(front.state_dir / "tls", listen=f"{net}.100")
    urls = {"web": f"https://{net}.100:8443/", "wsman_https": f"https://{net}.100:5986/wsman"}
    front.ready = {**urls, "pid": 0}
    (front.state_dir / "ready.json").write_text(json.dumps(front.ready))
    services = Services(place, postgresql, simulated(place, SPEED))
    for number, member in enumerate(services.members, 1):
        shutil.copytree(front.state_dir / "tls", member.state_dir / "tls")
        member._options += ["--trusted-proxy", "127.0.0.1", "--listen", f"{net}.{number}"]
        member._options += [str(word) for option in PORTS.items() for word in option]
    try:
        services.start()
        with haproxy(place, net) as log:
            yield Balanced(services, front, log)
    finally:
        front.clear()
        services.clear()


@contextmanager
def haproxy(place: Path, net: str) -> Iterator[Path]:
    """What it logs; only the addresses of the file are others."""
    text = re.sub(r"bind :", f"bind {net}.100:", SETTINGS.read_text())
    settings, log = place / "haproxy.cfg", place / "haproxy.log"
    settings.write_text(re.sub(r" service(\d):", rf" {net}.\1:", text))
    command = ["setpriv", "--pdeathsig", "KILL", "/usr/sbin/haproxy", "-db", "-f", str(settings)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as run:
        try:
            until("it listens", partial(listens, f"{net}.100", run, log))
            yield log
        finally:
            run.kill()


def listens(address: str, run: subprocess.Popen[bytes], log: Path) -> bool:
    assert run.poll() is None, log.read_text()
    with suppress(ConnectionRefusedError):
        socket.create_connection((address, PORTS["--web-port"]), 60).close()
        return True
    return False


@pytest.fixture(scope="module")
def desktop(balanced: Balanced) -> str:
    """One that the administrator has."""
    command = Rdms(balanced.front)
    command.read(
        *("collection", "create", "Pool", "--alias", "pool", "--prefix", "d-"),
        *("--image", "image:tiny", "--host", "host1=1", "--wait"),
    )
    assert command.run("collection", "set", "pool", "--user-group", "Everyone").exit_code == 0
    taken = command.read("desktop", "connect", "pool", USER, "--wait", "60")
    return str(taken["VMName"])


def test_protocols_go_through(balanced: Balanced) -> None:
    assert balanced.front.wire().enumerate(NODE)
    host = urlsplit(balanced.front.ready["web"]).hostname
    with WebClient(balanced.front) as client:
        assert client.get("/api/v1/me").status_code == 401
        for scheme, port in HTTP:
            assert client.get(f"{scheme}://{host}:{port}/").status_code < 500
    with socket.create_connection((host, PORTS["--rdp-port"]), 60) as connection:
        connection.sendall(b"neither is this")
        assert connection.recv(1) == b""


def kill(member: Member) -> None:
    member.kill()


def pause(member: Member) -> None:
    member.signal(signal.SIGSTOP)


def stop(member: Member) -> None:
    member.stop()


@pytest.mark.parametrize("act", [kill, pause, stop])
def test_whose_service_goes_comes_to_another(
    balanced: Balanced, desktop: str, act: Callable[[Member], None]
) -> None:
    for member in balanced.services.members:
        until("it is in", partial(is_up, balanced, member))
    owner = balanced.owner()
    before = balanced.count(owner, "DOWN")
    with WebClient(balanced.front) as client:
        client.sign_in(USER, PASSWORD)
        with open_display(balanced.front, client, get_ticket(client, desktop)) as display:
            assert display.recv(12) == b"RFB 003.008\n"
            begun = time.monotonic()
            act(owner)
            assert display.recv(1) == b""
            cut = time.monotonic() - begun
        until("another one answers", partial(answers, client))
        answered = time.monotonic() - begun
        with open_display(balanced.front, client, get_ticket(client, desktop)) as display:
            assert display.recv(12) == b"RFB 003.008\n"
            shown = time.monotonic() - begun
    print(
        f"{act.__name__}: its screen ends after {cut:.1f} s, first good answer after"
        f" {answered:.1f} s, on a screen again after {shown:.1f} s"
    )
    until("it is taken out", lambda: balanced.count(owner, "DOWN") > before)
    assert balanced.owner() is not owner
    owner.clear()
    balanced.services.start_again(owner)


def is_up(balanced: Balanced, member: Member) -> bool:
    """HAProxy takes all for alive when it begins."""
    return balanced.count(member, "UP") >= balanced.count(member, "DOWN")


def answers(client: WebClient) -> bool:
    """Over a connection of its own."""
    client.headers["connection"] = "close"
    with suppress(httpx.TransportError):
        return client.get("/api/v1/me").status_code == 200
    return False
