"""Octets of one connection to requests, with limits checked before anything is kept."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

import httptools

from openrdms.frontends.exchange import HttpRequest

MAX_BODY = 512_000
MAX_HEAD = 65_536
"""Octets. Tokens of Kerberos, with all groups of a user in them, are the largest headers."""
MAX_HEADERS = 100
MAX_CHUNKED = 2 * MAX_BODY
"""Octets of a body with the sizes of its chunks, their extensions and trailers, which we skip."""


class Stage(Enum):
    """What of a request has come."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


class Received(NamedTuple):
    """A whole request. ``version`` is that of HTTP."""

    request: HttpRequest
    version: str
    keep_alive: bool


@dataclass(frozen=True)
class Refused:
    """A request that is answered with ``status`` and the end of the connection."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


class _Stop(Exception):
    """Ends the parsing of a connection; the refusal is in the queue."""


class RequestParser:
    """Fills ``received`` in order; after a Refused nothing more comes."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        """POST is taken at ``paths``; anything else is refused."""
        self._paths = {path.encode(): path for path in paths}
        self._parser = httptools.HttpRequestParser(self)
        self.received: deque[Received | Refused] = deque()
        self.stage = Stage.IDLE
        self.wants_continue = False
        """The client waits for 100 before it sends the body."""
        self._path: str | None = None
        self._begin()

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        before = self.stage
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            if not self._refused():
                raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.received.append(Refused(400))
        if before is self.stage is not Stage.IDLE:
            self._octets += len(data)
            in_head = before is Stage.HEAD
            if self._octets > (MAX_HEAD if in_head else MAX_CHUNKED):
                self.received.append(Refused(431 if in_head else 413))

    # What httptools calls.

    def on_message_begin(self) -> None:
        """The first octet of a request has come."""
        self.stage = Stage.HEAD
        self._begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one of a trailer, which is ignored."""
        if self.stage is not Stage.HEAD:
            return
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            self._refuse(431)
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        before = self._headers.get(key)
        if key == "host" and before is not None:
            self._refuse(400)
        self._headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        """Refuse what need not be read further."""
        self._version = self._parser.get_http_version()
        if self._version not in ("1.1", "1.0"):
            self._refuse(505)
        self._path = self._find_path()
        if self._path is None:
            self._refuse(404)
        if self._parser.get_method() != b"POST":
            self._refuse(405, ("allow", "POST"))
        if self._version == "1.1" and "host" not in self._headers:
            self._refuse(400)  # RFC 9112 3.2
        if "origin" in self._headers:  # a web page's, with what the browser knows of its user
            self._refuse(403)
        length = self._headers.get("content-length", "0")
        if len(length) > 12 or int(length) > MAX_BODY:
            self._refuse(413)
        self.stage = Stage.BODY
        self._octets = 0
        expected = self._headers.get("expect", "").lower()
        is_new = self._version == "1.1"  # an older one would not understand
        self.wants_continue = is_new and expected == "100-continue"

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self.wants_continue = False
        self._parts.append(body)
        self._size += len(body)
        if self._size > MAX_BODY:
            self._refuse(413)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.stage = Stage.IDLE
        self.wants_continue = False
        request = HttpRequest(self._path or "", self._headers, b"".join(self._parts))
        keep_alive = self._parser.should_keep_alive()
        self.received.append(Received(request, self._version, keep_alive))

    def _begin(self) -> None:
        self._url = b""
        self._version = ""
        self._path = None
        self._headers: dict[str, str] = {}
        self._header_count = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._octets = 0
        """What has come of head or body in pieces after its first."""

    def _find_path(self) -> str | None:
        path, _, _ = self._url.partition(b"?")
        if not path.startswith(b"/"):  # a proxy's form, with scheme and host
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        return self._paths.get(path)

    def _refuse(self, status: int, *headers: tuple[str, str]) -> None:
        self.received.append(Refused(status, headers))
        raise _Stop

    def _refused(self) -> bool:
        return bool(self.received) and isinstance(self.received[-1], Refused)
