"""An RDP client's first packet (MS-RDPBCGR 2.2.1.1): TPKT, X.224 Connection Request, routing token.

The token is what the RDP file says in ``loadbalanceinfo``; it ends with CR LF. Behind it stands
what client and server negotiate: TLS, CredSSP. That is for the guest alone.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER = 4
LONGEST = 512
"""Octets of a request; X.224's own length field takes no more than 254 and the header."""

_VERSION = b"\x03\x00"
_SHORTEST = 11
_REQUEST = 0xE0
_END = b"\r\n"
_NEGOTIATION = (0, 8, 8 + 36)
"""Octets behind the token: none, a negotiation request, and a correlation id with it."""


class Malformed(Exception):
    """It is no connection request."""


@dataclass(frozen=True)
class ConnectionRequest:
    """``without_token`` is the request as it is sent on."""

    token: str
    without_token: bytes


def read_length(header: bytes) -> int:
    """Octets of the whole packet, from its first four. Malformed."""
    length = int.from_bytes(header[2:4], "big")
    if header[:2] != _VERSION or not _SHORTEST <= length <= LONGEST:
        raise Malformed("it does not begin as RDP does")
    return length


def parse(packet: bytes) -> ConnectionRequest:
    """Take the token out of a request, "" when there is none. Malformed."""
    if read_length(packet[:HEADER]) != len(packet) or packet[4] != len(packet) - 5:
        raise Malformed("its lengths do not agree")
    if packet[5] & 0xF0 != _REQUEST:
        raise Malformed("it is no connection request")
    fixed, variable = packet[4:_SHORTEST], packet[_SHORTEST:]
    token, end, rest = variable.partition(_END)
    if not end or variable[:1] == b"\x01":  # the type of a negotiation request
        token, rest = b"", variable
    if len(rest) not in _NEGOTIATION or not token.isascii():
        raise Malformed("what is negotiated has a wrong length")
    without = bytes([len(fixed) + len(rest) - 1]) + fixed[1:] + rest
    length = HEADER + len(without)
    return ConnectionRequest(token.decode("ascii"), _VERSION + length.to_bytes(2, "big") + without)
