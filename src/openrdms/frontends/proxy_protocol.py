"""PROXY protocol, version 2: a balancer says whose connection it passes on.

Its header stands before everything else, TLS included, and comes in one piece: who sends it must
take care of that, and who gets less may hang up (section 2 of haproxy.org's specification). It is
taken from the balancers that the options name alone, and must come from them: a connection that
says nothing of its client is not one of loopback, wherever the balancer runs.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from openrdms.model.errors import InvalidParameter

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_HEAD = 16
"""Octets before the addresses: signature, version and command, family, length of the rest."""
_LONGEST = 2048
"""Octets of a header that we take; HAProxy's own have some 200."""
_LOCAL, _PROXY = 0x20, 0x21
"""The balancer asks by itself, whether we live; a client asks."""
_STREAMS = {0x11: (4, 12), 0x21: (16, 36)}
"""TCP over IPv4 and IPv6: octets of an address, and of two with their ports."""

_DEFER_SECONDS = 5
"""How long the kernel keeps a connection to itself until its first octets are there."""

_log = logging.getLogger(__name__)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Malformed(Exception):
    """It is no header, or not all of one."""


class Header(NamedTuple):
    """``length`` in octets; ``client`` is an address, None when the balancer asks by itself."""

    length: int
    client: str | None


def parse(data: bytes) -> Header:
    """The header that ``data`` begins with. Malformed."""
    if data[:12] != _SIGNATURE or len(data) < _HEAD:
        raise Malformed("it does not begin with a PROXY header of version 2")
    command, family = data[12], data[13]
    length = _HEAD + int.from_bytes(data[14:_HEAD], "big")
    if length > _LONGEST or length > len(data):
        raise Malformed("its PROXY header did not come in one piece")
    if command == _LOCAL:
        return Header(length, None)
    if command != _PROXY or family not in _STREAMS:
        raise Malformed("its PROXY header is of no TCP connection")
    size, addresses = _STREAMS[family]
    if length < _HEAD + addresses:
        raise Malformed("its PROXY header lacks addresses")
    return Header(length, _render(data[_HEAD : _HEAD + size]))


def _render(octets: bytes) -> str:
    address = ipaddress.ip_address(octets)
    return str(getattr(address, "ipv4_mapped", None) or address)


class Peer(NamedTuple):
    """Who is at the other end; ``is_proxied`` when a balancer says so."""

    address: str
    is_proxied: bool


@dataclass(frozen=True)
class Balancers:
    """Those whose word about a client is taken."""

    networks: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, addresses: Iterable[str]) -> Balancers:
        """Of addresses or networks (10.0.0.5, 10.1.0.0/24, 2001:db8::5). InvalidParameter."""
        try:
            return cls(tuple(map(ipaddress.ip_network, addresses)))
        except ValueError as error:
            raise InvalidParameter("--trusted-proxy", str(error)) from error

    def prepare(self, listening: socket.socket) -> None:
        """Have connections accepted with their first octets; without balancers nothing changes."""
        if self.networks:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_SECONDS)

    def find_peer(self, accepted: socket.socket, address: str) -> Peer:
        """Whose connection it is, with a balancer's header taken off; never waits.

        ConnectionAbortedError when a balancer did not send one, or one that is wrong.
        """
        if not self._has(address):
            return Peer(address, is_proxied=False)
        try:
            header = parse(accepted.recv(_LONGEST, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except (Malformed, BlockingIOError) as error:
            _log.warning("a connection from the balancer %s is refused: %s", address, error)
            raise ConnectionAbortedError from error
        accepted.recv(header.length)
        return Peer(header.client or address, is_proxied=True)

    def _has(self, address: str) -> bool:
        if not self.networks:
            return False
        given = ipaddress.ip_address(address.partition("%")[0])
        known = getattr(given, "ipv4_mapped", None) or given
        return any(known in network for network in self.networks)


DIRECT = Balancers()
"""There are none."""


class Listener(socket.socket):
    """A listening socket that gives clients' addresses as those of their peers."""

    def __init__(self, bound: socket.socket, balancers: Balancers) -> None:
        """Takes the place of ``bound``."""
        super().__init__(bound.family, bound.type, fileno=bound.detach())
        self._balancers = balancers
        balancers.prepare(self)

    def accept(self) -> tuple[socket.socket, Any]:
        """ConnectionAbortedError for a connection that was refused: asyncio goes on with others."""
        accepted, peer = super().accept()
        try:
            client = self._balancers.find_peer(accepted, str(peer[0]))
        except OSError:
            accepted.close()
            raise ConnectionAbortedError from None
        return accepted, (client.address, *peer[1:])
