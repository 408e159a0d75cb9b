"""The relay on its own: what it lets in, when it cuts, and that it is bounded."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from live.rdp import CONFIRMATION, PLAIN, is_ended, read, request
from live.service import until
from openrdms.frontends.rdp import relay as module
from openrdms.frontends.rdp.relay import MAX_UNKNOWN, RdpRelay
from openrdms.model.errors import AccessDenied
from openrdms.services.rdp_access import Way

GOOD = request(b"openrdms:good")


class Guest:
    """Confirms a request, says what it got, then sends everything back."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = self._server.getsockname()
        self.silent = 0
        self.got = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(
                    target=self._serve, args=[self._server.accept()[0]], daemon=True
                ).start()

    def _serve(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            self.got = connection.recv(4096)
            self.silent -= 1
            if self.silent >= 0:
                return
            connection.sendall(CONFIRMATION)
            while received := connection.recv(65536):
                connection.sendall(received)

    def close(self) -> None:
        self._server.close()


class Door:
    """Knows one good token."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.refused: list[str] = []
        self.cuts: list[Callable[[], None]] = []
        self.open_now = 0
        self.cut_at_once = False

    def open(self, token: str, client: str, cut: Callable[[], None]) -> Way:
        assert client == "127.0.0.1"
        if token != "openrdms:good":
            raise AccessDenied("no valid routing token")
        self.cuts.append(cut)
        self.open_now += 1
        if self.cut_at_once:
            cut()
        return Way("d-1", self.guest.address, self._end)

    def _end(self) -> None:
        self.open_now -= 1

    def refuse(self, client: str, reason: str) -> None:
        self.refused.append(reason)


@pytest.fixture
def door() -> Iterator[Door]:
    guest = Guest()
    yield Door(guest)
    guest.close()


@pytest.fixture
def relay(door: Door) -> Iterator[RdpRelay]:
    relay = RdpRelay(door, "127.0.0.1", 0)
    relay.start()
    yield relay
    relay.stop()


def connect(relay: RdpRelay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=60)


def enter(relay: RdpRelay) -> socket.socket:
    connection = connect(relay)
    connection.sendall(GOOD)
    assert read(connection, len(CONFIRMATION)) == CONFIRMATION
    return connection


def test_octets_pass_both_ways_and_the_guest_sees_no_token(relay: RdpRelay, door: Door) -> None:
    with closing(enter(relay)) as client:
        assert door.guest.got == PLAIN
        sent = bytes(range(256)) * 8192
        threading.Thread(target=client.sendall, args=[sent], daemon=True).start()
        assert read(client, len(sent)) == sent
        assert door.open_now == 1
    until("it is over", lambda: door.open_now == 0)


def test_a_request_in_small_pieces(relay: RdpRelay) -> None:
    with closing(connect(relay)) as client:
        for octet in GOOD:
            client.sendall(bytes([octet]))
        assert read(client, len(CONFIRMATION)) == CONFIRMATION


def test_a_guest_whose_rdp_is_late(relay: RdpRelay, door: Door) -> None:
    door.guest.silent = 2
    enter(relay).close()


@pytest.mark.parametrize("first", [request(b"openrdms:bad"), PLAIN])
def test_without_a_good_token_it_ends(relay: RdpRelay, door: Door, first: bytes) -> None:
    with closing(connect(relay)) as client:
        client.sendall(first)
        assert is_ended(client)
    assert door.guest.got == b""


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 99])
def test_what_is_no_rdp_is_refused_and_told(relay: RdpRelay, door: Door, first: bytes) -> None:
    with closing(connect(relay)) as client:
        client.sendall(first)
        assert is_ended(client)
    assert door.refused == ["it does not begin as RDP does"]


def test_who_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, relay: RdpRelay
) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.2)
    with closing(connect(relay)) as client:
        client.sendall(GOOD[:7])
        assert is_ended(client)


def test_one_address_cannot_take_it_all(relay: RdpRelay) -> None:
    known = enter(relay)
    silent = [connect(relay) for _ in range(MAX_UNKNOWN)]
    with closing(connect(relay)) as one_more:
        assert is_ended(one_more)
    known.sendall(b"still here")
    assert read(known, 10) == b"still here"
    for connection in [*silent, known]:
        connection.close()

    def again() -> bool:
        with suppress(AssertionError, OSError):
            enter(relay).close()
            return True
        return False

    until("others come in again", again)


def test_it_is_cut_at_once_from_any_thread(relay: RdpRelay, door: Door) -> None:
    with closing(enter(relay)) as client:
        door.cuts[0]()
        assert is_ended(client)
        door.cuts[0]()
    until("it is over", lambda: door.open_now == 0)


def test_what_was_cut_before_the_guest_was_reached_never_reaches_it(
    relay: RdpRelay, door: Door
) -> None:
    door.cut_at_once = True
    begun = time.monotonic()
    with closing(connect(relay)) as client:
        client.sendall(GOOD)
        assert is_ended(client)
    until("it is over", lambda: door.open_now == 0)
    assert time.monotonic() - begun < module.GUEST_SECONDS
    assert door.guest.got == b""
