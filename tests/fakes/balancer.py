"""PROXY headers as a balancer writes them."""

from __future__ import annotations

import ipaddress

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
"""What it sends with a question of its own."""


def proxy_header(client: str, extra: bytes = b"") -> bytes:
    """Before a client's connection; ``extra`` are fields behind the addresses."""
    source = ipaddress.ip_address(client)
    target = ipaddress.ip_address("192.0.2.1" if source.version == 4 else "2001:db8::1")
    ports = (40_000).to_bytes(2, "big") + (443).to_bytes(2, "big")
    rest = source.packed + target.packed + ports + extra
    family = b"\x11" if source.version == 4 else b"\x21"
    return SIGNATURE + b"\x21" + family + len(rest).to_bytes(2, "big") + rest
