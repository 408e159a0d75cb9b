"""The HTTP and HTTPS listeners of the protocol servers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from openrdms.frontends.exchange import ProtocolServer
from openrdms.frontends.http.authentication import Authentication, Session
from openrdms.frontends.http.connection import Connection
from openrdms.frontends.http.poller import Accept, Poller
from openrdms.frontends.proxy_protocol import DIRECT, Balancers, Peer
from openrdms.security.certificate import Certificate
from openrdms.security.negotiate import tls_server_end_point

STOP_SECONDS = 3.0


@dataclass(frozen=True)
class Endpoint:
    """Where a protocol server is reached. Port 0 takes a free one."""

    server: ProtocolServer
    host: str
    http_port: int
    https_port: int


class Listeners:
    """Two listeners for each endpoint.

    The sockets are bound at once, so the URLs are known, and connections wait, before ``start``.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        authentication: Authentication,
        certificate: Certificate,
        balancers: Balancers = DIRECT,
    ) -> None:
        """OSError when an address cannot be bound."""
        self._authentication = authentication
        self._context = _tls_context(certificate)
        self._end_point = tls_server_end_point(certificate.certificate)
        self._poller = Poller(balancers)
        self.urls: list[tuple[str, str]] = []
        """Of every endpoint: HTTP, HTTPS."""
        with ExitStack() as bound:  # all or none
            for endpoint in endpoints:
                plain = bound.enter_context(_bind(endpoint.host, endpoint.http_port))
                secure = bound.enter_context(_bind(endpoint.host, endpoint.https_port))
                self._poller.listen(plain, self._make_plain(endpoint.server))
                self._poller.listen(secure, self._make_secure(endpoint.server))
                path = endpoint.server.paths[0]
                self.urls.append((_url("http", plain, path), _url("https", secure, path)))
            bound.pop_all()

    def start(self) -> None:
        """Accept connections."""
        self._poller.start()

    def stop(self) -> None:
        """Stop accepting, let requests under way finish for a moment, close. Repeatable."""
        self._poller.stop(STOP_SECONDS)

    def _make_plain(self, server: ProtocolServer) -> Accept:
        def accept(client: socket.socket, peer: Peer) -> Connection:
            session = Session(self._authentication, server, peer, None)
            return Connection(client, peer.address, session, server.paths)

        return accept

    def _make_secure(self, server: ProtocolServer) -> Accept:
        def accept(client: socket.socket, peer: Peer) -> Connection:
            secure = self._context.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            )
            session = Session(self._authentication, server, peer, self._end_point)
            return Connection(secure, peer.address, session, server.paths)

        return accept


def _tls_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _url(scheme: str, bound: socket.socket, path: str) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"
