"""Connections of the web port, before it is known whose they are: how many, how big, how slow.

uvicorn bounds neither what a head may hold nor the time that a client takes to send a request, and
takes connections from one address until nobody else gets any.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from openrdms.frontends import proxy_protocol
from openrdms.frontends.proxy_protocol import Balancers
from openrdms.security.lockout import place_of

MAX_CONNECTIONS = 2_000
MAX_OF_ADDRESS = 500
"""A whole office behind one address has enough; nobody alone takes them all."""

MAX_HEAD = 64 << 10
"""Octets of a head that is not whole yet."""
HEAD_SECONDS = 20.0
BODY_SECONDS = 60.0
"""What a client gets to send the one, and then the other."""


class Listener(proxy_protocol.Listener):
    """Hangs up on whoever has too many connections, TLS handshakes under way included."""

    def __init__(self, bound: socket.socket, balancers: Balancers) -> None:
        super().__init__(bound, balancers)
        self._open: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """ConnectionAbortedError for a connection that was refused: asyncio goes on with others."""
        accepted, peer = super().accept()
        place = place_of(str(peer[0]))
        if self._open.total() >= MAX_CONNECTIONS or self._open[place] >= MAX_OF_ADDRESS:
            accepted.close()
            raise ConnectionAbortedError
        self._open[place] += 1
        return _Accepted(accepted, peer, lambda: self._forget(place)), peer

    def _forget(self, place: str) -> None:
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]


class _Accepted(socket.socket):
    def __init__(self, accepted: socket.socket, peer: Any, closed: Callable[[], None]) -> None:
        super().__init__(accepted.family, accepted.type, fileno=accepted.detach())
        self._peer = peer
        self._told: Callable[[], None] | None = closed

    def getpeername(self) -> Any:
        """The client, whom uvicorn asks for here."""
        return self._peer

    def close(self) -> None:
        told, self._told = self._told, None
        if told:
            told()
        super().close()


class Protocol(HttpToolsProtocol):
    """Ends connections whose requests are too long in coming, or too big before they are whole.

    Keeps a dictionary with each connection, which requests find in ``scope["state"]``.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, {**app_state, "connection": {}}, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._is_whole = False
        """Whether the last request has come to its end, and nothing of another one has."""
        self._is_head = True
        self._octets = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn; the first head is due."""
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn."""
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn; octets behind a whole request begin another one, empty lines too."""
        if self._is_whole:
            self._begin()
        super().data_received(data)
        if self._is_head and not self._is_whole:
            self._octets += len(data)
            if self._octets > MAX_HEAD:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """As uvicorn."""
        if self._is_whole:  # another one behind it in the same octets
            self._begin()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """As uvicorn; the body is due."""
        self._is_head = False
        self._wait(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """As uvicorn."""
        self._is_whole = True
        self._wait(None)
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """As uvicorn; what follows is no HTTP."""
        self._wait(None)
        super().handle_websocket_upgrade()

    def _begin(self) -> None:
        self._is_whole, self._is_head, self._octets = False, True, 0
        self._wait(HEAD_SECONDS)

    def _wait(self, seconds: float | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        later = self.loop.call_later
        self._deadline = None if seconds is None else later(seconds, self._give_up)

    def _give_up(self) -> None:
        self.transport.abort()
