"""What the web port bounds before it knows who is there, on sockets without TLS."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from openrdms.frontends.proxy_protocol import DIRECT
from openrdms.frontends.web import connections

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name, value in {"HEAD_SECONDS": 2.0, "BODY_SECONDS": 2.0, "MAX_OF_ADDRESS": 8}.items():
        monkeypatch.setattr(connections, name, value)
    bound = socket.create_server(("127.0.0.1", 0))
    listener = connections.Listener(bound, DIRECT)
    app = PlainTextResponse("here")
    config = uvicorn.Config(app, http=connections.Protocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def ask(client: socket.socket) -> None:
    """A whole request, and its whole answer."""
    client.sendall(REQUEST + b"\r\n")
    received = b""
    while not received.endswith(b"\r\n\r\nhere"):
        more = client.recv(1 << 16)
        assert more
        received += more


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    try:
        while more := client.recv(1 << 16):
            received += more
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", REQUEST, b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nx"],
)
def test_who_does_not_come_to_an_end_is_hung_up_on(port: int, sent: bytes) -> None:
    with closing(connect(port)) as client:
        client.sendall(sent)
        read_to_end(client)


def test_nor_is_who_has_had_an_answer_waited_for(port: int) -> None:
    with closing(connect(port)) as client:
        ask(client)
        client.sendall(b"\r\n")
        assert read_to_end(client) == b""


def test_octets_one_by_one_buy_no_time(port: int) -> None:
    with closing(connect(port)) as client, pytest.raises(OSError):
        for _ in range(10_000):
            client.sendall(b"x")
            time.sleep(0.02)


def test_a_connection_lives_on_between_requests(port: int) -> None:
    with closing(connect(port)) as client:
        ask(client)
        time.sleep(2.5)
        ask(client)


@pytest.mark.parametrize("start", [b"GET /", REQUEST + b"X: "])
def test_a_head_without_end(port: int, start: bytes) -> None:
    with closing(connect(port)) as client:
        try:
            client.sendall(start + b"x" * (64 << 20))
        except OSError:
            return
        assert b" 200 " not in read_to_end(client)


def test_nobody_takes_all_connections(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 60.0)
    with ExitStack() as clients:
        many = [clients.enter_context(closing(connect(port))) for _ in range(12)]
        for client in many[8:]:
            assert read_to_end(client) == b""
        for client in many[:8]:
            client.sendall(REQUEST + b"Connection: close\r\n\r\n")
            assert read_to_end(client)
    with closing(connect(port)) as client:
        client.sendall(REQUEST + b"Connection: close\r\n\r\n")
        assert read_to_end(client).startswith(b"HTTP/1.1 200")
