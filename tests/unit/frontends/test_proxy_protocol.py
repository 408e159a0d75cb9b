"""Clients behind a balancer: whose address counts, and what is not taken for a header."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from fakes.balancer import LOCAL, SIGNATURE, proxy_header
from fakes.http_rig import PASSWORD, HttpRig, port
from fakes.http_wire import GET, basic
from fakes.widgets import Widgets
from live.rdp import request as rdp_request
from live.service import until
from openrdms.frontends.http import poller
from openrdms.frontends.proxy_protocol import Balancers, Malformed, Peer, parse
from openrdms.frontends.rdp.relay import RdpRelay
from openrdms.frontends.web import connections
from openrdms.model.errors import AccessDenied, InvalidParameter
from openrdms.services.rdp_access import Way

CLIENT = "203.0.113.9"
HERE = Balancers.parse(["127.0.0.1", "2001:db8::/64"])
FORGED = [
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n",
    SIGNATURE,
    proxy_header(CLIENT)[:-1],
    SIGNATURE + b"\x22" + proxy_header(CLIENT)[13:],
    SIGNATURE + b"\x11" + proxy_header(CLIENT)[13:],
    SIGNATURE + b"\x21\x31" + (216).to_bytes(2, "big") + bytes(216),
    SIGNATURE + b"\x21\x12" + proxy_header(CLIENT)[14:],
    SIGNATURE + b"\x21\x21" + proxy_header(CLIENT)[14:],
    proxy_header(CLIENT, bytes(3000)),
]
"""Nothing, other protocols, version 1, parts, unknown commands, other families, too long."""


@given(client=st.ip_addresses(), extra=st.binary(max_size=200), after=st.binary(max_size=50))
def test_a_header_says_who_the_client_is_and_where_it_ends(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address, extra: bytes, after: bytes
) -> None:
    header = proxy_header(str(client), extra)
    length, found = parse(header + after)
    assert length == len(header)
    mapped = getattr(client, "ipv4_mapped", None)
    assert found == str(mapped or client)


@given(
    data=st.one_of(
        st.binary(max_size=100),
        st.binary(max_size=100).map(SIGNATURE.__add__),
        st.tuples(st.integers(0, 27), st.integers(0, 255), st.integers(0, 40)).map(
            lambda at: _change(proxy_header(CLIENT), *at)
        ),
    )
)
def test_whatever_else_comes_is_refused_or_is_a_header(data: bytes) -> None:
    try:
        length, client = parse(data)
    except Malformed:
        return
    assert data.startswith(SIGNATURE)
    assert len(SIGNATURE) + 4 <= length <= len(data)
    assert client is None or str(ipaddress.ip_address(client)) == client


def _change(header: bytes, at: int, octet: int, length: int) -> bytes:
    return (header[:at] + bytes([octet]) + header[at + 1 :])[:length]


@pytest.mark.parametrize("data", FORGED)
def test_what_is_no_header_of_a_client_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


@pytest.mark.parametrize("text", ["", "here", "10.0.0.1/24", "10.0.0", "10.0.0.1:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="trusted-proxy"):
        Balancers.parse([text])


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::ffff:127.0.0.1", "2001:db8::7", "2001:db8::7%eth0"]
)
def test_a_balancer_is_known_however_its_address_is_written(address: str) -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(proxy_header(CLIENT) + b"hello")
        assert HERE.find_peer(ours, address) == Peer(CLIENT, is_proxied=True)
        assert ours.recv(100) == b"hello"


def test_a_stranger_is_not_believed() -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(proxy_header(CLIENT))
        assert HERE.find_peer(ours, "198.51.100.1") == Peer("198.51.100.1", is_proxied=False)
        assert ours.recv(100) == proxy_header(CLIENT)


class TestProtocols:
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[HttpRig]:
        widgets = Widgets()
        widgets.add("One", 1)
        rig = HttpRig(tmp_path, widgets, balancers=HERE)
        yield rig
        rig.stop()

    def ask(
        self, url: str, first: bytes, *, source: str = "127.0.0.1", tls: HttpRig | None = None
    ) -> int:
        """The status; 0 when it hangs up."""
        plain = socket.create_connection(("127.0.0.1", port(url)), 60, (source, 0))
        with closing(plain):
            plain.sendall(first)
            connection = http.client.HTTPConnection("127.0.0.1")
            connection.sock = plain
            try:
                if tls:
                    file = str(tls.certificate.certificate)
                    context = ssl.create_default_context(cafile=file)
                    connection.sock = context.wrap_socket(plain, server_hostname="127.0.0.1")
                headers = {
                    "Content-Type": "application/soap+xml",
                    "Authorization": basic("admin", PASSWORD),
                }
                connection.request("POST", "/wsman", GET, headers)
                return connection.getresponse().status
            except (OSError, http.client.HTTPException):
                return 0
            finally:
                connection.close()

    def test_the_client_is_who_the_balancer_says(self, rig: HttpRig) -> None:
        assert self.ask(rig.https_url, proxy_header(CLIENT), tls=rig) == 200
        assert [caller.address for caller in rig.guard.callers] == [CLIENT]

    def test_nobody_behind_a_balancer_is_on_loopback(self, rig: HttpRig) -> None:
        for first in (proxy_header("127.0.0.1"), proxy_header("::1"), LOCAL):
            assert self.ask(rig.http_url, first) == 401
            assert self.ask(rig.https_url, first, tls=rig) == 200
        assert self.ask(rig.http_url, b"", source="127.0.0.2") == 200

    def test_a_balancer_that_says_nothing_good_is_refused(self, rig: HttpRig) -> None:
        # A header without its last octet takes the first of the request, which is none then.
        assert {self.ask(rig.http_url, first) for first in FORGED} <= {0, 400}
        assert not rig.guard.callers

    def test_another_ones_header_is_no_request(self, rig: HttpRig) -> None:
        assert self.ask(rig.http_url, proxy_header("127.0.0.1"), source="127.0.0.2") == 400

    def test_each_client_has_its_own_connections(
        self, rig: HttpRig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(poller, "CONNECTIONS_OF_ADDRESS", 2)
        address = ("127.0.0.1", port(rig.http_url))
        held = []
        for number in range(6):
            held.append(socket.create_connection(address, 60))
            held[-1].sendall(proxy_header(f"203.0.113.{number // 2}"))
        assert self.ask(rig.http_url, proxy_header("203.0.113.1")) == 0
        assert self.ask(rig.http_url, proxy_header("203.0.113.9")) == 401
        for one in held:
            one.close()


async def _say_who(scope: Scope, receive: Receive, send: Send) -> None:
    client = Request(scope).client
    await PlainTextResponse(client.host if client else "nobody")(scope, receive, send)


@pytest.fixture
def web_port() -> Iterator[int]:
    listener = connections.Listener(socket.create_server(("127.0.0.1", 0)), HERE)
    config = uvicorn.Config(
        _say_who, http=connections.Protocol, lifespan="off", log_config=None, proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


def ask_web(number: int, first: bytes) -> str:
    with socket.create_connection(("127.0.0.1", number), 60) as connection:
        connection.sendall(first + b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        try:
            answer.begin()
            return answer.read().decode()
        except (OSError, http.client.HTTPException):
            return ""


def test_the_web_port_knows_its_clients(web_port: int) -> None:
    assert ask_web(web_port, proxy_header(CLIENT)) == CLIENT
    assert ask_web(web_port, proxy_header("2001:db8:1::5")) == "2001:db8:1::5"
    assert ask_web(web_port, b"") == ""


class Access:
    """Lets nobody in, and notes who came."""

    def __init__(self) -> None:
        self.clients: list[str] = []

    def open(self, token: str, client: str, cut: Callable[[], None]) -> Way:
        self.clients.append(client)
        raise AccessDenied("nobody")

    def refuse(self, client: str, reason: str) -> None:
        raise AssertionError


def test_the_rdp_relay_knows_its_clients() -> None:
    access = Access()
    relay = RdpRelay(access, "127.0.0.1", 0, HERE)
    relay.start()
    for first in (b"", proxy_header(CLIENT)):
        with socket.create_connection(("127.0.0.1", relay.port), 60) as connection:
            connection.sendall(first + rdp_request(b"openrdms:any"))
            with pytest.raises(ConnectionResetError) if not first else closing(connection):
                assert connection.recv(1) == b""
    until("the client is known", lambda: access.clients == [CLIENT])
    relay.stop()
