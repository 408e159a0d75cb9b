"""A client that does next to nothing, so that it is the service that is measured."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Self
from urllib.parse import urlsplit

import spnego

from benchmarks import messages
from benchmarks.messages import Post

BATCH = 2000


class Client:
    """One kept connection over plain HTTP."""

    def __init__(self, url: str, authorization: str = "") -> None:
        place = urlsplit(url)
        self._host = place.netloc
        self._socket = socket.create_connection((place.hostname, place.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authorization = authorization
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def post(self, request: Post, *, split: bool = False) -> bytes:
        """The body of the reply, which must be as expected. ``split``: head and body apart."""
        status, _, body = self.exchange(request.path, request.body, request.headers, split=split)
        assert status == 200 and request.expected in body, (status, body[:2000])
        return body

    def log_on(self, path: str, user: str, password: str) -> None:
        """NTLM: from here on the connection is that user's."""
        context = spnego.client(user, password, protocol="ntlm")
        token = context.step()
        while token:
            given = {"Authorization": f"Negotiate {base64.b64encode(token).decode()}"}
            status, head, _ = self.exchange(path, b"", given)
            answer = head.partition("www-authenticate: Negotiate ")[2].partition("\r\n")[0]
            token = None if status == 200 else context.step(base64.b64decode(answer))
        self._authorization = ""

    def exchange(
        self, path: str, body: bytes, headers: Mapping[str, str], *, split: bool = False
    ) -> tuple[int, str, bytes]:
        """Status, head and body of the reply."""
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._authorization:
            lines.append(f"Authorization: {self._authorization}")
        head = "\r\n".join([*lines, "", ""]).encode()
        for part in (head, body) if split else (head + body,):
            self._socket.sendall(part)
        return self._read()

    def _read(self) -> tuple[int, str, bytes]:
        data = self._unread
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, rest = data.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        length = int(text.lower().partition("content-length: ")[2].partition("\r\n")[0])
        parts, missing = [rest], length - len(rest)
        while missing > 0:
            parts.append(self._receive())
            missing -= len(parts[-1])
        return int(text.split(" ", 2)[1]), text, b"".join(parts)

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 20)
        assert data, "the service closed the connection"
        return data


def drain_wsman(client: Client) -> Iterator[int]:
    """Enumerate all desktops; the number of each batch."""
    opening, ending = b"<p:Win32_RDMSVirtualDesktop ", b"EndOfSequence"
    body = client.post(messages.wsman_enumerate(BATCH))
    while True:
        yield body.count(opening)
        if ending in body:
            return
        context = _between(body, b"<n:EnumerationContext>", b"<")
        body = client.post(messages.wsman_pull(context, BATCH))


def drain_cimxml(client: Client) -> Iterator[int]:
    """Enumerate all desktops; the number of each batch."""
    body = client.post(messages.cimxml_open(BATCH))
    while True:
        yield body.count(b"<INSTANCE ")
        if b"<VALUE>TRUE</VALUE></PARAMVALUE>" in body[-200:]:
            return
        context = _between(body, b'NAME="EnumerationContext" PARAMTYPE="string"><VALUE>', b"<")
        body = client.post(messages.cimxml_pull(context, BATCH))


def rate(call: Callable[[], object], seconds: float) -> float:
    """Calls a second."""
    count, begin = 0, time.monotonic()
    while (passed := time.monotonic() - begin) < seconds:
        call()
        count += 1
    return count / passed


def _between(body: bytes, before: bytes, after: bytes) -> str:
    return body.partition(before)[2].partition(after)[0].decode()
