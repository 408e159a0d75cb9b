"""What the web front end refuses by itself, on record: forged requests, tokens that are none, roles
and scopes that do not reach, bodies that are too large, paths that lead out of their place.

The audit log counts what repeats within a minute. What a guard or a sign-in refuses, these record.
"""

from __future__ import annotations

import re

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from openrdms.frontends.web.visitors import (
    Refused,
    Unauthenticated,
    Visitor,
    address_of,
    backend_of,
)
from openrdms.model.errors import RdmsError
from openrdms.security import disclosure

SCHEME = "web"
"""How the audit log calls what strangers try."""

_SEPARATORS = re.compile(r"[/\\]")

_log = structlog.get_logger(__name__)


class TooLarge(HTTPException):
    """More octets than were announced, or than are taken; the connection ends with it."""

    def __init__(self) -> None:
        super().__init__(413, "the body is too large", {"connection": "close"})


async def record(connection: HTTPConnection, error: Exception) -> None:
    """Note it when it is one of those."""
    if isinstance(error, Refused | TooLarge):
        await run_in_threadpool(_record, connection, type(error).__name__, str(error))
    elif isinstance(error, Unauthenticated) and "authorization" in connection.headers:
        await run_in_threadpool(_record, connection, "Token", "no such token, or not any more")


async def record_path(connection: HTTPConnection) -> None:
    """Note that a path was refused if it tried to lead elsewhere."""
    path = connection.scope["path"]
    if ".." in _SEPARATORS.split(path) or "\0" in path:
        await run_in_threadpool(_record, connection, "Path", "a path that leads elsewhere")


def _record(connection: HTTPConnection, kind: str, reason: str) -> None:
    log, address = backend_of(connection).audit_log, address_of(connection)
    visitor: Visitor | None = getattr(connection.state, "visitor", None)
    try:
        if visitor:
            on = {"Path": disclosure.clean(connection.scope["path"])}
            log.deny(visitor.account.name, address, f"{SCHEME}/{kind}", on, reason=reason)
        else:
            log.record_refusal("", address, SCHEME, reason)
    except RdmsError:  # refused it is all the same
        _log.exception("a refusal could not be recorded")
