"""POSTs with an Idempotency-Key: sent again, they are answered again and carried out once.

A key is the account's own and bound to all that its request says. See services.repeated_requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import NAMESPACE_URL, uuid5

from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from openrdms.cim.errors import CimError
from openrdms.frontends.web.back_pressure import Overloaded
from openrdms.frontends.web.visitors import Visitor, get_visitor
from openrdms.model import errors
from openrdms.model.repeated_request import RepeatedRequest
from openrdms.services.repeated_requests import FIELD

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_LONGEST = 255
_REPEATABLE = frozenset({"create_job", "plan_job", "cancel_job", "reset_pool"})
"""What has the same effect when it is done again."""
_TOLD_ONCE = frozenset({"create_token"})
_REFUSALS = (
    errors.InvalidParameter,
    errors.NotFound,
    errors.AlreadyExists,
    errors.InvalidOperation,
    errors.AccessDenied,
    errors.NotSupported,
    Overloaded,
    CimError,
    RequestValidationError,
    HTTPException,
)
"""Raised before anything has changed."""

IdempotencyKey = Annotated[
    str | None,
    Header(max_length=_LONGEST, description="Of your choice: sent again, it is done once."),
]


def name_job(visitor: Visitor, key: str) -> str:
    """The GUID of the job that a request of that key makes: the same for ever."""
    return f"{{{uuid5(NAMESPACE_URL, f'urn:openrdms:job {visitor.account.sid} {key}')}}}".upper()


class IdempotentRoute(APIRoute):
    """A route class for routers; other methods than POST pass."""

    def get_route_handler(self) -> Handler:
        """As FastAPI has it."""
        handle = super().get_route_handler()
        name = self.name

        async def repeat(request: Request) -> Response:
            key = request.headers.get(FIELD)
            if request.method != "POST" or key is None:
                return await handle(request)
            return await _answer_once(request, _check_key(key), name, handle)

        return repeat


def _check_key(key: str) -> str:
    if not 0 < len(key) <= _LONGEST or not key.isprintable():
        raise errors.InvalidParameter(FIELD, f"must have 1 to {_LONGEST} printable characters")
    return key


async def _answer_once(request: Request, key: str, name: str, handle: Handler) -> Response:
    visitor = await get_visitor(request)
    requests, account = visitor.backend.repeated_requests, visitor.account.name
    digest = _digest(visitor, request, await request.body())

    def begin() -> Response | None:
        known = requests.begin(account, key, digest, repeatable=name in _REPEATABLE)
        return _replay(known) if known else None

    replayed = await run_in_threadpool(begin)
    if replayed:
        return replayed
    try:
        reply = await handle(request)
        body = None if name in _TOLD_ONCE else bytes(reply.body)
        location = reply.headers.get("location", "")
        await run_in_threadpool(
            requests.finish, account, key, digest, reply.status_code, body, location
        )
        return reply
    except _REFUSALS:
        await run_in_threadpool(requests.forget, account, key)
        raise
    finally:
        requests.leave(account, key)


def _digest(visitor: Visitor, request: Request, body: bytes) -> str:
    """Of who asks, as what, with which token, for what: who may do less now is told nothing."""
    token = visitor.token.id if visitor.token else ""
    who = f"{visitor.account.role}\n{token}"
    head = f"{who}\n{request.method}\n{request.url.path}\n{request.url.query}\n"
    return hashlib.sha256(head.encode() + body).hexdigest()


def _replay(known: RepeatedRequest) -> Response:
    if known.body is None:
        raise errors.InvalidOperation("it was done; the answer held a secret and is told once only")
    headers = {"idempotency-replayed": "true"}
    if known.location:
        headers["location"] = known.location
    return Response(known.body, known.status or 200, headers, media_type="application/json")
