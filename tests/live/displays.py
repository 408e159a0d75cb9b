"""Displays of desktops through the web port: their WebSocket, used without a browser."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from live.browser import WebClient, csrf_of
from live.service import Service

COOKIE = "__Host-openrdms"

Result = TypeVar("Result")

_LOOP = asyncio.new_event_loop()
"""Reads and writes in one thread: the library's own threads do both on one TLS connection at the
same time, which Python's ssl does not bear; every thousandth handshake or so failed.
"""
threading.Thread(target=_LOOP.run_forever, name="displays", daemon=True).start()


def _wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run_coroutine_threadsafe(work, _LOOP).result()


class WebDisplay:
    """A stream (live.rfb) that is carried by a WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.code: int | None = None
        """Why the service has closed it."""

    def sendall(self, data: bytes, /) -> None:
        with suppress(ConnectionClosed):  # ``recv`` tells of it
            _wait_for(self._socket.send(data))

    def recv(self, _size: int, /) -> bytes:
        try:
            received = _wait_for(self._socket.recv())
        except ConnectionClosed as error:
            self.code = error.rcvd.code if error.rcvd else None
            return b""
        assert isinstance(received, bytes)
        return received

    def close(self) -> None:
        _wait_for(self._socket.close())


def get_ticket(client: WebClient, desktop: str, mode: str = "view") -> str:
    """A ticket for who has signed in."""
    headers = {"x-csrf-token": csrf_of(client.get(f"/display/{desktop}").text)}
    reply = client.post(f"/api/v1/desktops/{desktop}/display", json={"mode": mode}, headers=headers)
    assert reply.status_code == 200, reply.text
    ticket: str = reply.json()["ticket"]
    return ticket


@contextmanager
def open_display(
    service: Service,
    client: WebClient,
    ticket: str,
    *,
    origin: str | None = "own",
    cookie: str | None = "own",
) -> Iterator[WebDisplay]:
    """InvalidStatus of websockets when it is refused. ``own`` is what a browser sends."""
    url = urlsplit(service.ready["web"])
    context = ssl.create_default_context(cafile=service.state_dir / "tls" / "certificate.pem")
    if origin == "own":
        origin = f"https://{url.netloc}"
    if cookie == "own":
        cookie = client.cookies[COOKIE]
    headers = {} if cookie is None else {"cookie": f"{COOKIE}={cookie}"}
    protocols = [Subprotocol("binary"), Subprotocol(f"ticket.{ticket}")]
    opening = connect(
        f"wss://{url.netloc}/api/v1/display",
        ssl=context,
        origin=origin,  # type: ignore[arg-type]  # a new type of str
        subprotocols=protocols,
        additional_headers=headers,
        proxy=None,
        compression=None,
        max_size=None,
        open_timeout=60,
        close_timeout=60,
    )
    display = WebDisplay(_wait_for(opening.__aenter__()))
    try:
        yield display
    finally:
        display.close()
