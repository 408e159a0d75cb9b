"""Machines that are reached by TCP: whether one is there, and how soon a silent one is given up.

libvirt bounds neither: its keep-alive is not for calls that wait (see ``connection``). The kernel
does it, and ``ssh`` where that is libvirt's way.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from openrdms.model.errors import HostUnavailable

_TLS, _PORT = "qemu+tls", 16514
_KNOCK_SECONDS = 3
_SILENCE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 2,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 2,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 8000,
}
"""tcp(7): a connection fails 8 s after the other side has fallen silent, in use or not."""

_SSH = Path(__file__).with_name("ssh")
"""Ends 8 s after the other side has fallen silent, and after 3 s when nobody is there."""

Place = tuple[str, int]


def find_place(uri: str) -> Place | None:
    """Host and port behind a libvirt URI. None for those without, and for ssh, which has names of
    its own in its configuration.
    """
    parts = urlsplit(uri)
    if not parts.hostname or parts.scheme != _TLS:
        return None
    return parts.hostname, parts.port or _PORT


def bound_ssh(uri: str) -> str:
    """The same URI, by which libvirt calls an ssh that gives up a silent host, unless it names the
    program to call (``command``, libvirt.org/uri.html) itself.
    """
    parts = urlsplit(uri)
    named = {key.casefold() for key, _ in parse_qsl(parts.query)}  # as libvirt reads it
    if not parts.hostname or not parts.scheme.endswith("+ssh") or "command" in named:
        return uri
    separator = "&" if parts.query else "?"
    return f"{uri}{separator}command={quote(str(_SSH))}"


def knock(place: Place) -> None:
    """HostUnavailable when nobody listens there."""
    try:
        socket.create_connection(place, _KNOCK_SECONDS).close()
    except OSError as error:
        raise HostUnavailable(f"{place[0]}: {error}") from error


def bound_silence(place: Place) -> None:
    """Let every connection of this process to there fail when what it sent is not acknowledged.

    libvirt does not give out its sockets, so they are found by whom they lead to.
    """
    with suppress(OSError):  # without a name service it is as libvirt has it
        wanted = {found[4][:2] for found in socket.getaddrinfo(*place, type=socket.SOCK_STREAM)}
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # it was closed, or is no socket with a peer
                _bound(int(entry.name), wanted)


def _bound(handle: int, wanted: Container[object]) -> None:
    """OSError when that is no socket with a peer. The option is the socket's, not the handle's."""
    if stat.S_ISSOCK(os.fstat(handle).st_mode):
        with socket.socket(fileno=os.dup(handle)) as found:
            if found.family != socket.AF_UNIX and found.getpeername()[:2] in wanted:
                for (level, option), value in _SILENCE.items():
                    found.setsockopt(level, option, value)
