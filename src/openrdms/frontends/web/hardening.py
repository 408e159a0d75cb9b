"""What holds for every reply and every request, before any route: headers, sizes, request ids."""

from __future__ import annotations

import time
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openrdms import metrics
from openrdms.frontends.exchange import name_request
from openrdms.frontends.web.refusals import TooLarge, record_path

MAX_BODY = 1 << 20
"""Octets of a request."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; manifest-src 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_STARTS = ("http.response.start", "websocket.http.response.start")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = structlog.get_logger(__name__)


class Hardening:
    """Outermost middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or all the time of a WebSocket, which is logged when it ends.

        A body that is too large is refused, by its Content-Length or as it comes, when it is read.
        """
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = name_request(headers.get("x-request-id"))
        reply = _Reply(send, request_id)
        with structlog.contextvars.bound_contextvars(request=request_id):
            begun = time.perf_counter()
            try:
                await self._app(scope, _Limited(receive, _announced(headers)), reply.send)
                if reply.status >= HTTPStatus.BAD_REQUEST:
                    await record_path(HTTPConnection(scope))
            finally:
                _note(scope, reply.status, time.perf_counter() - begun)


def _note(scope: Scope, status: int, seconds: float) -> None:
    """In the log, and in the figures."""
    _measure(scope, status, seconds)
    method, milliseconds = scope.get("method", "WEBSOCKET"), round(seconds * 1000, 1)
    _log.info("web", method=method, path=scope["path"], status=status, ms=milliseconds)


def _measure(scope: Scope, status: int, seconds: float) -> None:
    """By the route's template, with all its prefixes where FastAPI says them: what clients ask for
    makes no series of its own.
    """
    if scope["type"] == "websocket":
        return  # it ends when its user has enough
    method = scope["method"] if scope["method"] in _METHODS else "other"
    place = scope.get("fastapi", {}).get("effective_route_context", scope.get("route"))
    mounted = scope.get("root_path", "")
    route = getattr(place, "path", f"{mounted}/*" if mounted else "other")
    metrics.HTTP_SECONDS.labels(method, route, status).observe(seconds)


class _Reply:
    """Sends, with the headers that all replies have."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.status = 101
        if message["type"] in _STARTS:
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
            headers["x-request-id"] = self._request_id
        await self._send(message)


class _Limited:
    """Receives a body until it is too large."""

    def __init__(self, receive: Receive, announced: int) -> None:
        self._receive = receive
        self._announced = announced
        self._octets = 0

    async def __call__(self) -> Message:
        if self._announced > MAX_BODY:
            raise TooLarge
        message = await self._receive()
        self._octets += len(message.get("body", b""))
        if self._octets > MAX_BODY:
            raise TooLarge
        return message


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0
