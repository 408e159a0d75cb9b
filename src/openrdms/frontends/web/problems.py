"""Errors as problem details (RFC 9457), translated here and nowhere else in the web front end.

Besides the members of the RFC: ``code`` the WBEM status, ``fields`` what was wrong in the input
(``[{"field", "reason"}]``), ``reason`` a ReasonCode where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from openrdms.cim.errors import CimError, CimStatus
from openrdms.frontends.web.back_pressure import Overloaded
from openrdms.frontends.web.visitors import Unauthenticated
from openrdms.model import errors
from openrdms.model.reason import ReasonCode, find_refusal
from openrdms.security.sign_in import Locked

MEDIA_TYPE = "application/problem+json"

_STATUSES: Sequence[tuple[type[errors.RdmsError], HTTPStatus]] = (
    (Unauthenticated, HTTPStatus.UNAUTHORIZED),
    (Locked, HTTPStatus.TOO_MANY_REQUESTS),
    (Overloaded, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.AccessDenied, HTTPStatus.FORBIDDEN),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.AlreadyExists, HTTPStatus.CONFLICT),
    (errors.InvalidParameter, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.InvalidOperation, HTTPStatus.CONFLICT),
    (errors.NotSupported, HTTPStatus.NOT_IMPLEMENTED),
    (errors.OutOfSpace, HTTPStatus.INSUFFICIENT_STORAGE),
    (errors.RecordsUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.HostUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.DirectoryUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.SessionDenied, HTTPStatus.FORBIDDEN),
    (errors.VmNotRunning, HTTPStatus.CONFLICT),
    (errors.SessionGone, HTTPStatus.NOT_FOUND),
    (errors.GuestUnreachable, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first that fits; any other RdmsError is a 500."""

_CIM_STATUSES = {
    CimStatus.ACCESS_DENIED: HTTPStatus.FORBIDDEN,
    CimStatus.NOT_FOUND: HTTPStatus.NOT_FOUND,
}


class FieldProblem(BaseModel):
    """What was wrong with one field of the input."""

    field: str
    reason: str


class Problem(BaseModel):
    """Body of every reply that is an error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: int | None = None
    fields: list[FieldProblem] = []
    reason: str | None = None


def from_error(error: errors.RdmsError) -> Problem:
    """What the core raised."""
    found = (status for kind, status in _STATUSES if isinstance(error, kind))
    status = next(found, HTTPStatus.INTERNAL_SERVER_ERROR)
    problem = _make(status, str(error))
    problem.code = int(error.code)
    problem.reason = getattr(error, "reason", None) or find_refusal(error)
    if isinstance(error, errors.InvalidParameter):
        words = str(error).removeprefix(f"{error.field}: ")
        problem.fields = [FieldProblem(field=error.field, reason=words)]
    return problem


def from_cim(error: CimError) -> Problem:
    """What the guard raised."""
    status = _CIM_STATUSES.get(error.status, HTTPStatus.INTERNAL_SERVER_ERROR)
    if are_records_away(error):  # it could not put on record what was asked
        status = HTTPStatus.SERVICE_UNAVAILABLE
    problem = _make(status, str(error))
    problem.code = error.wbem or None
    problem.reason = error.reason_code or None
    return problem


def are_records_away(error: Exception) -> bool:
    """Whether the same request may be sent again in a while: the database did not answer."""
    away = isinstance(error, CimError) and error.wbem == errors.RecordsUnavailable.code
    return away or isinstance(error, errors.RecordsUnavailable)


def from_http(error: HTTPException) -> Problem:
    """What the framework raised: no such path, no such method."""
    return _make(HTTPStatus(error.status_code), str(error.detail))


def from_validation(error: RequestValidationError) -> Problem:
    """Input that does not have the declared shape."""
    fields = [
        FieldProblem(
            field=".".join(map(str, item["loc"][1:])) or str(item["loc"][0]), reason=item["msg"]
        )
        for item in error.errors()
    ]
    detail = "; ".join(f"{item.field}: {item.reason}" for item in fields)
    problem = _make(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    problem.fields = fields
    problem.reason = ReasonCode.NOT_AS_ASKED
    return problem


def render(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """As a reply."""
    body: dict[str, Any] = problem.model_dump(exclude_defaults=True)
    return JSONResponse(body, problem.status, headers, media_type=MEDIA_TYPE)


def _make(status: HTTPStatus, detail: str) -> Problem:
    return Problem(title=status.phrase, status=status, detail=detail)
