"""HTTP for the protocol servers: TLS, Basic authentication, limits. One path, POST only.

Nobody is anybody until their password was verified: a missing or broken Authorization header
ends in 401 before the service sees a byte. The one exception is WS-Management's Identify, which
may be asked with the header ``WSMANIDENTIFY: unauthenticated``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openrdms.cim.provider import Caller
from openrdms.security.certificate import Certificate
from openrdms.security.identity import Administrator

MAX_BODY = 512_000
MAX_IDENTIFY = 8_192
"""Octets of a body, of a caller with a name and of one without."""
HEAD_SECONDS = 20.0
BODY_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 120
STOP_SECONDS = 3
WRONG_PASSWORD_SECONDS = 0.5
THREADS = 128
"""Requests at once. Most wait for guests: they must leave room for a Cancel."""
CONNECTIONS = 1000

PATHS = ("/wsman", "/wsman/")
REALM = "WSMAN"

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Service(Protocol):
    """A protocol server: a body in, HTTP status and body out. Blocking, from any thread."""

    def handle(self, caller: Caller, data: bytes) -> tuple[int, bytes]:
        """Answer an authenticated caller."""

    def identify(self, data: bytes) -> tuple[int, bytes]:
        """Answer somebody without a name."""


class _Refused(Exception):
    """Answer with this status and headers, and no body."""

    def __init__(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


_CLOSE = (b"connection", b"close")
_CHALLENGE = (b"www-authenticate", f'Basic realm="{REALM}"'.encode())


class Application:
    """The ASGI application in front of a service."""

    def __init__(
        self, service: Service, administrator: Administrator, *, allow_unencrypted: bool
    ) -> None:
        """``allow_unencrypted`` lets Basic through without TLS, from loopback only."""
        self._service = service
        self._administrator = administrator
        self._allow_unencrypted = allow_unencrypted
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wsman")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        try:
            status, body = await self._answer(scope, receive)
            kind = (b"content-type", b"application/soap+xml;charset=UTF-8")
            await _send(send, status, body, kind)
        except _Refused as refused:
            await _send(send, refused.status, b"", *refused.headers)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        _check_target(scope)
        headers = dict(scope["headers"])
        loop = asyncio.get_running_loop()
        authorization = headers.get(b"authorization")
        if authorization is None and b"wsmanidentify" in headers:
            data = await _read_body(headers, receive, MAX_IDENTIFY)
            return await loop.run_in_executor(self._threads, self._service.identify, data)
        # Read also when 401 will be the answer: clients that wait for it send their body first.
        data = await _read_body(headers, receive, MAX_BODY)
        caller = await self._authenticate(scope, authorization)
        return await loop.run_in_executor(self._threads, self._service.handle, caller, data)

    async def _authenticate(self, scope: Scope, authorization: bytes | None) -> Caller:
        address = scope["client"][0] if scope.get("client") else ""
        if not (scope["scheme"] == "https" or self._is_local(address)):
            raise _Refused(401)
        if authorization is None:
            raise _Refused(401, _CHALLENGE)
        name, password = _read_basic(authorization)
        if not self._administrator.verify(name, password):
            _log.warning("authentication failed from %s", address)
            await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            raise _Refused(401, _CHALLENGE)
        return Caller(name, address, "administrator")

    def _is_local(self, address: str) -> bool:
        try:
            return self._allow_unencrypted and ipaddress.ip_address(address).is_loopback
        except ValueError:
            return False


class Listeners:
    """The HTTP and HTTPS listeners of one application, on one event loop in a thread.

    The sockets are bound at once, so the URLs are known, and connections wait, before ``start``.
    """

    def __init__(
        self,
        application: Application,
        certificate: Certificate,
        *,
        host: str,
        http_port: int,
        https_port: int,
    ) -> None:
        """Port 0 takes a free one. OSError when an address cannot be bound."""
        self._sockets = [_bind(host, http_port), _bind(host, https_port)]
        self.http_url = _url("http", self._sockets[0])
        self.https_url = _url("https", self._sockets[1])
        plain = uvicorn.Config(application, **_SETTINGS)
        context = _tls_context(certificate)
        tls = uvicorn.Config(application, ssl_context_factory=lambda *_: context, **_SETTINGS)
        self._servers = [uvicorn.Server(plain), uvicorn.Server(tls)]
        self._thread = threading.Thread(target=self._run, name="listeners", daemon=True)
        self._accepting = threading.Event()

    def start(self) -> None:
        """Return when both accept; RuntimeError when the loop ended instead."""
        self._thread.start()
        while not self._accepting.wait(0.05):
            if not self._thread.is_alive():
                raise RuntimeError("the listeners did not start; see the log")

    def stop(self) -> None:
        """Stop accepting, let requests under way finish for a moment, close. Repeatable."""
        for server in self._servers:
            server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        pairs = zip(self._servers, self._sockets, strict=True)
        tasks = [asyncio.create_task(server.serve([bound])) for server, bound in pairs]
        while not all(server.started for server in self._servers):
            if any(task.done() for task in tasks):
                break
            await asyncio.sleep(0.01)
        else:
            self._accepting.set()
        await asyncio.gather(*tasks)
        await self._abort_connections()

    async def _abort_connections(self) -> None:
        """Drop what did not end in time: the loop cannot close over an open transport."""
        for server in self._servers:
            for connection in list(server.server_state.connections):
                connection.transport.abort()
        await asyncio.sleep(0.05)  # the loop takes a turn to carry that out


class _ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection whose client takes too long over the headers of a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, transport.close)

    def on_message_begin(self) -> None:
        self._deadline.cancel()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._deadline.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)


_SETTINGS: dict[str, Any] = {
    "http": _ImpatientProtocol,
    "ws": "none",
    "lifespan": "off",
    "interface": "asgi3",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    # Forwarded headers would let a client claim TLS or an address that it does not have.
    "proxy_headers": False,
    "limit_concurrency": CONNECTIONS,
    "timeout_keep_alive": KEEP_ALIVE_SECONDS,
    "timeout_graceful_shutdown": STOP_SECONDS,
}


def _tls_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _url(scheme: str, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{PATHS[0]}"


def _check_target(scope: Scope) -> None:
    if scope["path"] not in PATHS:
        raise _Refused(404, _CLOSE)
    if scope["method"] != "POST":
        raise _Refused(405, (b"allow", b"POST"), _CLOSE)


async def _read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    length = headers.get(b"content-length", b"0")
    if int(length) > limit:
        raise _Refused(413, _CLOSE)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _collect(receive, limit)
    except TimeoutError as error:
        raise _Refused(408, _CLOSE) from error


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(400, _CLOSE)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _Refused(413, _CLOSE)
        if not message.get("more_body", False):
            return b"".join(parts)


def _read_basic(authorization: bytes) -> tuple[str, str]:
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        raise _Refused(401, _CHALLENGE)
    try:
        octets = base64.b64decode(credentials.strip(), validate=True)
    except binascii.Error as error:
        raise _Refused(401, _CHALLENGE) from error
    name, colon, password = _decode(octets).partition(":")
    if not colon:
        raise _Refused(401, _CHALLENGE)
    return name, password


def _decode(octets: bytes) -> str:
    """UTF-8 as RFC 7617 wants, or Latin-1, which many clients send (requests, for one)."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


async def _send(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
