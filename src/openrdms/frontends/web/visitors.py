"""Who a request comes from: the session of a browser, or the token of a program.

A request that changes something with a cookie must prove that a page of ours made it: by the
CSRF token of its session, in a header or in the form, and by its Origin. A token in the
Authorization header is sent by nobody unasked and needs no such proof.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from openrdms.cim.guard import Operation, Outcome
from openrdms.cim.provider import Caller
from openrdms.cim.types import CimValue
from openrdms.frontends.web.backend import Backend
from openrdms.model.account import Account, Role
from openrdms.model.errors import AccessDenied
from openrdms.model.web_session import ApiToken, Scope, WebSession

COOKIE = "__Host-openrdms"
"""The prefix makes browsers insist on HTTPS, this host and the whole site (RFC 6265bis 4.1.3.2)."""

CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
NAMESPACE = "api/v1"
"""Where the audit log says that a change came from."""

NOBODY = "sign in, or send an API token"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Unauthenticated(AccessDenied):
    """Nobody: 401, or the sign-in page."""


class Refused(AccessDenied):
    """Before any guard was asked, who would have put it on record: that is ``refusals``' work."""


class Stale(AccessDenied):
    """Too long since the visitor has proved who he is; ``reason`` is what a page looks for."""

    reason = "Stale"


class Forged(Refused):
    """A cookie without proof that a page of ours sent it."""


@dataclass(frozen=True)
class Visitor:
    """Somebody, for one request."""

    backend: Backend
    account: Account
    address: str
    session: WebSession | None
    token: ApiToken | None

    @property
    def caller(self) -> Caller:
        """As the guard and the providers know callers."""
        return Caller(self.account.name, self.address, self.account.role)

    @property
    def is_staff(self) -> bool:
        """True for whom the console is for."""
        return self.account.role is not Role.USER

    def is_still_in(self) -> bool:
        """Whether the session or token holds as it did; asking is no use of it."""
        found = None
        if self.token:
            found = self.backend.api_tokens.look(self.token)
        elif self.session:
            found = self.backend.web_sessions.look(self.session)
        return found is not None and found.role is self.account.role

    def require(self, scope: Scope) -> None:
        """AccessDenied for a token without that scope; a browser has them all."""
        if self.token is not None and scope not in self.token.scopes:
            raise Refused(f"the token {self.token.name!r} lacks the scope {scope}")

    def watch(
        self,
        class_name: str,
        operation: str,
        *,
        on: Mapping[str, CimValue] | None = None,
        values: Mapping[str, CimValue] | None = None,
    ) -> AbstractContextManager[Outcome]:
        """Around the work: the same table of rights and the same audit log as over WS-Management.

        ``class_name`` and ``operation`` are those of the interface that do the same
        (``security.policy``). CimError ACCESS_DENIED.
        """
        asked = Operation(NAMESPACE, class_name, operation, on or {}, values or {})
        return self.backend.guard.watch(self.caller, asked)


def backend_of(connection: HTTPConnection) -> Backend:
    """What the application was made with."""
    backend: Backend = connection.app.state.backend
    return backend


def address_of(connection: HTTPConnection) -> str:
    """The peer's; a proxy in between is a peer like any other."""
    return connection.client.host if connection.client else ""


async def find_visitor(connection: HTTPConnection) -> Visitor | None:
    """Who it is; None for nobody."""
    return await run_in_threadpool(_find_visitor, connection)


def _find_visitor(connection: HTTPConnection) -> Visitor | None:
    backend, address = backend_of(connection), address_of(connection)
    scheme, _, secret = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        by_token = backend.api_tokens.find(secret.strip())
        return by_token and Visitor(backend, by_token[1], address, None, by_token[0])
    cookie = connection.cookies.get(COOKIE)
    by_session = backend.web_sessions.find(cookie) if cookie else None
    return by_session and Visitor(backend, by_session[1], address, by_session[0], None)


async def get_visitor(request: Request) -> Visitor:
    """Somebody. Unauthenticated, Forged."""
    visitor = await find_visitor(request)
    if visitor is None:
        raise Unauthenticated(NOBODY)
    request.state.visitor = visitor
    if visitor.session and request.method not in _SAFE:
        await _check_origin(request, visitor.session)
    return visitor


async def _check_origin(request: Request, session: WebSession) -> None:
    if not is_same_origin(request):
        raise Forged("Origin: another site's")
    sent = request.headers.get(CSRF_HEADER) or await _find_field(request)
    if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        raise Forged(f"{CSRF_HEADER}: missing, or of another session")


async def _find_field(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return ""
    value = (await request.form()).get(CSRF_FIELD)
    return value if isinstance(value, str) else ""


def is_same_origin(connection: HTTPConnection) -> bool:
    """Whether a page of ours asks; a client that is no browser says nothing of it."""
    origin = connection.headers.get("origin")
    return origin is None or origin == f"https://{connection.headers.get('host', '')}"


AnyVisitor = Annotated[Visitor, Depends(get_visitor)]
"""A route's parameter: somebody signed in."""


def connecting(visitor: AnyVisitor) -> Visitor:
    """See ``Connecting``."""
    visitor.require(Scope.CONNECT)
    return visitor


Connecting = Annotated[Visitor, Depends(connecting)]
"""A route's parameter: somebody with a scope to use his own desktops."""


def _get_fresh(visitor: AnyVisitor) -> Visitor:
    if visitor.session is None:
        raise Refused("a token is not enough: this needs a browser's session")
    if not visitor.backend.web_sessions.is_fresh(visitor.session):
        raise Stale("give your password again first")
    return visitor


Fresh = Annotated[Visitor, Depends(_get_fresh)]
"""A route's parameter: somebody at a browser who has proved within minutes who he is."""


def _get_staff(visitor: AnyVisitor) -> Visitor:
    if not visitor.is_staff:
        raise Refused(f"the role {visitor.account.role} has no administration")
    return visitor


Staff = Annotated[Visitor, Depends(_get_staff)]
"""A route's parameter: somebody with a role in administration; ``watch`` says which rights."""


def reading(visitor: Staff) -> Visitor:
    """See ``Reader``."""
    visitor.require(Scope.READ)
    return visitor


def writing(visitor: Staff) -> Visitor:
    """See ``Writer``."""
    visitor.require(Scope.WRITE)
    return visitor


Reader = Annotated[Visitor, Depends(reading)]
"""Staff, with a scope to read; ``watch`` decides by the table."""
Writer = Annotated[Visitor, Depends(writing)]
"""Staff, with a scope to change; ``watch`` decides by the table."""
