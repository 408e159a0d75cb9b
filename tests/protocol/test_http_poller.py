"""Many connections on few threads: calls that wait, clients that stall, go or fail."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from fakes.http_rig import PASSWORD, HttpRig, port
from fakes.http_wire import basic
from fakes.widgets import Widgets
from openrdms.cim.provider import Caller
from openrdms.frontends import http as frontend
from openrdms.frontends.exchange import HttpReply, HttpRequest
from openrdms.frontends.http import connection as http_connection
from openrdms.frontends.http import poller

ADMIN = basic("admin", PASSWORD)
LARGE = 20_000_000


class Echo:
    """Answers with the body, after the milliseconds that it begins with."""

    paths = ("/echo",)
    realm = "echo"

    def __init__(self) -> None:
        self.calls = 0

    def handle(self, caller: Caller, request: HttpRequest) -> HttpReply:
        self.calls += 1
        if request.body == b"fail":
            raise ZeroDivisionError
        if request.body == b"large":
            return HttpReply(200, "text/plain", bytes(LARGE))
        if pause := re.match(rb"\d+", request.body):
            time.sleep(int(pause[0]) / 1000)
        return HttpReply(200, "text/plain", request.body)

    def handle_anonymous(self, request: HttpRequest) -> HttpReply | None:
        return None


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def url(echo: Echo, tmp_path: Path) -> Iterator[tuple[str, str]]:
    rig = HttpRig(tmp_path, Widgets())
    endpoint = frontend.Endpoint(echo, "127.0.0.1", 0, 0)
    listeners = frontend.Listeners([endpoint], rig.authentication, rig.certificate)
    listeners.start()
    yield listeners.urls[0]
    listeners.stop()
    rig.stop()


@pytest.fixture
def plain(url: tuple[str, str]) -> int:
    return port(url[0])


class Client:
    """One connection kept open."""

    def __init__(self, plain: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=60)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def post(self, body: bytes) -> bytes:
        self.connection.request("POST", "/echo", body, {"Authorization": ADMIN})
        response = self.connection.getresponse()
        assert response.status == 200
        return response.read()


def render(body: bytes, headers: str = "", version: str = "1.1") -> bytes:
    head = f"POST /echo HTTP/{version}\r\nHost: x\r\nAuthorization: {ADMIN}\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def raw(plain: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", plain), 60) as raw:
        yield raw


def test_short_waits_overlap_and_everybody_gets_their_own(plain: int) -> None:
    def ask(client: int) -> None:
        with Client(plain) as connection:
            for number in range(10):
                body = b"%d of client %d, request %d" % ((40, 0, 200)[number % 3], client, number)
                assert connection.post(body) == body

    with ThreadPoolExecutor(32) as threads:
        ask(0)
        began = time.monotonic()
        list(threads.map(ask, range(32)))
        assert time.monotonic() - began < 20  # one after the other they wait for 24 s


def test_who_does_not_read_holds_up_nobody(plain: int, raw: socket.socket) -> None:
    raw.sendall(render(b"large") + render(b"next", "Connection: close\r\n"))
    with Client(plain) as other:
        for _ in range(5):
            assert other.post(b"0") == b"0"
    size = 0
    last = b""
    while part := raw.recv(1_000_000):
        size += len(part)
        last = part
    assert size > LARGE
    assert last.endswith(b"next")


def test_who_never_reads_is_cut_off(
    plain: int, raw: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "REPLY_SECONDS", 0.2)
    expire, late = http_connection.Connection.expire, threading.Event()

    def note(connection: http_connection.Connection) -> None:
        expire(connection)
        late.set()

    monkeypatch.setattr(http_connection.Connection, "expire", note)
    raw.sendall(render(b"large"))
    assert late.wait(60)
    size = 0
    with pytest.raises(ConnectionResetError):  # closed with most of the reply unsent
        while part := raw.recv(1_000_000):
            size += len(part)
        raise ConnectionResetError
    assert size < LARGE


def test_who_goes_while_a_call_runs_costs_nothing(plain: int) -> None:
    for _ in range(3):
        raw = socket.create_connection(("127.0.0.1", plain), 10)
        raw.sendall(render(b"1500"))
        time.sleep(0.05)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0" + bytes(4))
        raw.close()
    shares = []
    for _ in range(5):
        began, used = time.monotonic(), time.process_time()
        time.sleep(0.2)
        shares.append((time.process_time() - used) / (time.monotonic() - began))
    assert min(shares) < 0.5  # other threads of this process work now and then
    with Client(plain) as other:
        assert other.post(b"0") == b"0"


def test_a_failure_ends_one_connection(plain: int) -> None:
    with Client(plain) as other:
        assert other.post(b"0") == b"0"
        with Client(plain) as client, pytest.raises((http.client.HTTPException, OSError)):
            client.post(b"fail")
        assert other.post(b"0") == b"0"


def test_expect_continue(raw: socket.socket) -> None:
    head, body = render(b"hello", "Expect: 100-continue\r\nConnection: close\r\n").split(b"hello")
    raw.sendall(head)
    assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw.sendall(b"hello" + body)
    assert raw.recv(1000).endswith(b"hello")


def test_http_1_0(raw: socket.socket, plain: int) -> None:
    raw.sendall(render(b"one", "Connection: keep-alive\r\n", "1.0"))
    assert b"connection: keep-alive" in raw.recv(1000)
    raw.sendall(render(b"two", version="1.0"))
    assert b"connection: close" in raw.recv(1000)
    assert raw.recv(1000) == b""


def test_idle_connections_end(
    plain: int, raw: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "KEEP_ALIVE_SECONDS", 0.2)
    raw.sendall(render(b"one"))
    assert raw.recv(1000).endswith(b"one")
    assert raw.recv(1000) == b""


def test_one_address_cannot_take_all(plain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "CONNECTIONS_OF_ADDRESS", 2)
    with Client(plain) as one, Client(plain) as two:
        assert one.post(b"0") == two.post(b"0") == b"0"
        with Client(plain) as three, pytest.raises((http.client.HTTPException, OSError)):
            three.post(b"0")
        assert one.post(b"0") == b"0"


def test_without_more_threads_calls_wait_for_each_other(
    plain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with Client(plain) as one, Client(plain) as two:
        with monkeypatch.context() as patch:
            patch.setattr(poller.Poller, "_spawn", refuse)
            assert one.post(b"50") == b"50"
            assert two.post(b"50") == b"50"
        assert one.post(b"50") == two.post(b"50") == b"50"


def test_tls_is_not_taken_for_http_nor_the_reverse(url: tuple[str, str], echo: Echo) -> None:
    for number in map(port, url):
        with socket.create_connection(("127.0.0.1", number), 10) as raw:
            raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01" + bytes(600))
            with suppress(ConnectionResetError):
                while raw.recv(1000):
                    pass
    with socket.create_connection(("127.0.0.1", port(url[1])), 10) as raw:
        raw.sendall(render(b"0"))
        with suppress(ConnectionResetError):
            assert b"HTTP/1.1 200" not in raw.recv(1000)
    assert echo.calls == 0


def test_a_request_in_single_octets(raw: socket.socket) -> None:
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in render(b"slowly", "Connection: close\r\n"):
        raw.sendall(bytes([octet]))
    assert raw.recv(1000).endswith(b"slowly")


def test_threads_end_with_the_listeners(echo: Echo, tmp_path: Path) -> None:
    before = threading.active_count()
    rig = HttpRig(tmp_path, Widgets())
    endpoint = frontend.Endpoint(echo, "127.0.0.1", 0, 0)
    listeners = frontend.Listeners([endpoint], rig.authentication, rig.certificate)
    listeners.start()
    with ThreadPoolExecutor(8) as threads:
        clients = [Client(port(listeners.urls[0][0])) for _ in range(8)]
        list(threads.map(lambda client: client.post(b"20"), clients))
        for client in clients:
            client.connection.close()
    listeners.stop()
    rig.stop()
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_the_end_takes_connections_that_go_at_that_moment(echo: Echo, tmp_path: Path) -> None:
    """A leader that gives the lead away while it ends leaves nobody to close the others."""
    rig = HttpRig(tmp_path, Widgets())
    for _ in range(10):
        endpoint = frontend.Endpoint(echo, "127.0.0.1", 0, 0)
        listeners = frontend.Listeners([endpoint], rig.authentication, rig.certificate)
        listeners.start()
        with ThreadPoolExecutor(8) as threads, ExitStack() as clients:
            made = [clients.enter_context(Client(port(listeners.urls[0][0]))) for _ in range(8)]
            for _ in range(2):  # slow calls make it wary
                list(threads.map(lambda client: client.post(b"20"), made))
            for client in made[:4]:
                client.connection.close()
            listeners.stop()
            for client in made[4:]:
                assert client.connection.sock.recv(1) == b""
    rig.stop()
