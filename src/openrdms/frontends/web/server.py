"""The HTTPS listener of the web front end: uvicorn in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from openrdms.frontends.proxy_protocol import DIRECT, Balancers
from openrdms.frontends.web.connections import Listener, Protocol
from openrdms.security.certificate import Certificate

_KEEP_ALIVE_SECONDS = 75
_STOP_SECONDS = 1
"""What requests under way get; pages that listen for events never end by themselves."""


class WebServer:
    """Bound when made, so its URL is known before it accepts."""

    def __init__(
        self,
        app: ASGIApp,
        listen: str,
        port: int,
        certificate: Certificate,
        balancers: Balancers = DIRECT,
    ) -> None:
        """OSError when the address cannot be bound."""
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        bound_socket = socket.create_server((listen, port), family=family, backlog=512)
        self._socket = Listener(bound_socket, balancers)
        # asyncio would, if the socket named its protocol: else replies wait 40 ms for an ACK
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, bound = self._socket.getsockname()[:2]
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{bound}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                ssl_certfile=certificate.certificate,
                ssl_keyfile=certificate.key,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_STOP_SECONDS,
                ws_max_size=1 << 20,
                ws_per_message_deflate=False,  # what displays send is compressed
            )
        )
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def start(self) -> None:
        """Accept connections; those that came since it was bound wait in the backlog."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting and leave."""
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS + 1)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))
