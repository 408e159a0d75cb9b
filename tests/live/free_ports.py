"""Ports that a server can be told to listen on, and listen on again after it was stopped."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_FIRST = 10_000
_CHOICE = random.SystemRandom()
"""Not what Hypothesis seeds: every process of a test run would choose the same."""


def free_port() -> int:
    """Below those that the kernel gives to whoever asks for any: while a server is yet to start,
    or is stopped for a while, no connection of anybody gets it.
    """
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _CHOICE.randrange(_FIRST, max(given, 2 * _FIRST))
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
