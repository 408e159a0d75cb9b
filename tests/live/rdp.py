"""The first packets of RDP, as a client sends them (MS-RDPBCGR 2.2.1.1)."""

from __future__ import annotations

import socket

NEGOTIATION = bytes.fromhex("0100080003000000")
"""TLS and CredSSP are offered."""
PLAIN = bytes.fromhex("030000130ee000000000000100080003000000")
"""What mstsc sends without a token."""
CONFIRMATION = bytes.fromhex("0300000b06d00000123400")


def request(token: bytes, negotiation: bytes = NEGOTIATION) -> bytes:
    """A connection request with a routing token."""
    variable = token + b"\r\n" + negotiation
    fixed = bytes([6 + len(variable), 0xE0, 0, 0, 0, 0, 0])
    return b"\x03\x00" + (4 + len(fixed) + len(variable)).to_bytes(2, "big") + fixed + variable


def read(connection: socket.socket, count: int) -> bytes:
    """So many octets, fewer when it ends."""
    received = b""
    while len(received) < count and (more := connection.recv(count - len(received))):
        received += more
    return received


def is_ended(connection: socket.socket) -> bool:
    """Whether the other side has ended it, waited for as long as the socket waits."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
