"""Who a client of the feed is: by the cookie it got, or by proving it on this connection.

Passwords go to the same sign-in as those of browsers. Negotiate, NTLM and Kerberos go to the
authentication that the protocols have, bound to the connection (``connection_of``).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from openrdms.cim.provider import Caller
from openrdms.frontends.exchange import HttpReply, HttpRequest
from openrdms.frontends.http.authentication import (
    BASIC,
    FAILURE_SECONDS,
    Session,
)
from openrdms.frontends.proxy_protocol import Peer
from openrdms.frontends.web.visitors import address_of, backend_of
from openrdms.model.account import Account
from openrdms.model.errors import AccessDenied, DirectoryUnavailable
from openrdms.model.web_session import Scope

COOKIE = ".ASPXAUTH"
"""As clients call it (MS-TSWP 2.2.3), whatever the server is."""

REALM = "OpenRDMS"
_KNOWN = b"-"
"""Stands for a body: a handshake that ends with a request without one is answered at once, because
clients of the protocols shake hands before they ask."""


@dataclass(frozen=True)
class Answer:
    """An account, or None for a 401; ``headers`` go with either, after ``delay`` seconds."""

    account: Account | None
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0


class _Nothing:
    """The protocol behind a handshake: there is none, it is enough to know who it is."""

    paths = ()
    realm = REALM

    def __init__(self) -> None:
        self.caller: Caller | None = None

    def handle(self, caller: Caller, request: HttpRequest) -> HttpReply:
        self.caller = caller
        return HttpReply(200, "", b"")

    def handle_anonymous(self, request: HttpRequest) -> HttpReply | None:
        return None


def connection_of(request: Request) -> MutableMapping[str, Any]:
    """What is kept with a connection, and ends with it (``web.server``)."""
    kept: MutableMapping[str, Any] = request.scope["state"]["connection"]
    return kept


def may_be_known(request: Request) -> bool:
    """Whether the client says who it is, or has proved it on this connection."""
    return "authorization" in request.headers or bool(connection_of(request).get("proved"))


def find_by_cookie(request: Request) -> Account | None:
    """Whose cookie it is."""
    cookie = request.cookies.get(COOKIE)
    return backend_of(request).feed.cookies.find(cookie) if cookie else None


def prove(request: Request) -> Answer:
    """Go on with what the client says of itself in Authorization."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == BASIC.lower():
        for name in ("feed", "proved"):  # who says anew who he is, is nobody until then
            connection_of(request).pop(name, None)
        try:
            return Answer(_check_password(request, credentials))
        except (AccessDenied, DirectoryUnavailable) as error:
            seconds = getattr(error, "seconds", None)
            extra = (("retry-after", str(seconds)),) if seconds else ()
            offered = _shake_hands(request, with_header=False).headers
            return Answer(None, offered + extra, FAILURE_SECONDS)
    return _shake_hands(request)


def _check_password(request: Request, credentials: str) -> Account:
    try:
        octets = base64.b64decode(credentials.strip(), validate=True)
        name, _, password = octets.decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise AccessDenied("no credentials") from error
    domain_or_name = name.rpartition("\\")[2]  # clients put a domain before it
    sign_in = backend_of(request).sign_in
    return sign_in.by_password_alone(domain_or_name, password, address_of(request), Scope.CONNECT)


def _shake_hands(request: Request, *, with_header: bool = True) -> Answer:
    access = backend_of(request).feed
    kept = connection_of(request)
    if "feed" not in kept:
        nothing = _Nothing()
        peer = Peer(address_of(request), is_proxied=False)  # over TLS that makes no difference
        session = Session(access.authentication, nothing, peer, access.end_point)
        kept["feed"] = (session, nothing)
    session, nothing = kept["feed"]
    nothing.caller = None
    headers = {
        name: value
        for name, value in request.headers.items()
        if with_header and name == "authorization"
    }
    answer = session.answer(HttpRequest(request.url.path, headers, _KNOWN))
    caller = nothing.caller
    account = access.authentication.accounts.find(caller.name) if caller else None
    kept["proved"] = account is not None
    return Answer(account, answer.reply.headers, answer.delay)
