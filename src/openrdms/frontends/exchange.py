"""One HTTP request and its reply, as protocol servers see them: no sockets, no authentication."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from itertools import count
from typing import NamedTuple, Protocol

from openrdms.cim.provider import Caller

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PROCESS = secrets.token_hex(4)
_numbers = count(1)
"""What ids are made of: random ones are a call of the kernel each."""


class HttpRequest(NamedTuple):
    """A POST whose body is whole and, where the connection encrypts messages, decrypted.

    Names in ``headers`` are in lower case; a header that came twice has its values joined by ", ".
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


class HttpReply(NamedTuple):
    """``headers`` besides Content-Type and Content-Length."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def name_request(given: str | None) -> str:
    """The client's own name for it, where that is harmless, so that logs of both can be read
    together; else a new one.
    """
    return given if given and _REQUEST_ID.fullmatch(given) else f"{_PROCESS}-{next(_numbers)}"


class ProtocolServer(Protocol):
    """Answers the requests of one protocol. Blocking, from any thread; never raises."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it answers POST, the one that it is known by first; else it is 404 or 405."""

    @property
    def realm(self) -> str:
        """Of Basic authentication."""

    def handle(self, caller: Caller, request: HttpRequest) -> HttpReply:
        """Answer an authenticated caller."""

    def handle_anonymous(self, request: HttpRequest) -> HttpReply | None:
        """Answer what needs no name, such as WS-Management's Identify; None for all else.

        Asked only with the header WSMANIDENTIFY and a small body, on a connection that is nobody.
        """
