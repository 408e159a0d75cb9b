"""The web application: routes, errors and what holds for all of them."""

from __future__ import annotations

from importlib import metadata
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from openrdms.cim.errors import CimError
from openrdms.frontends.web import (
    api,
    console,
    display,
    operations,
    portal_pages,
    problems,
    refusals,
    sign_in_pages,
    signing_in,
)
from openrdms.frontends.web.api.description import describe, name_operation
from openrdms.frontends.web.back_pressure import Overloaded
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.feed import routes as feed
from openrdms.frontends.web.hardening import Hardening
from openrdms.frontends.web.pages import HERE, MODULES, STATIC, Kept, Revalidated, page
from openrdms.frontends.web.problems import Problem
from openrdms.frontends.web.visitors import NOBODY, Unauthenticated, find_visitor
from openrdms.model.errors import RdmsError, RecordsUnavailable
from openrdms.security.sign_in import Locked

_RECORDS_BACK = 5
"""Seconds after which it is worth to ask again while records are away."""


def make_app(backend: Backend) -> ASGIApp:
    """The application, to be served over HTTPS only."""
    app = FastAPI(
        title="OpenRDMS",
        version=metadata.version("openrdms"),
        summary="Remote Desktop Management Services for Linux and KVM",
        openapi_url=f"{api.PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=name_operation,
    )
    app.state.backend = backend
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # as FastAPI has it
    app.include_router(operations.router)
    # Without a prefix FastAPI would make all routes ready here, to see that each has a path.
    app.include_router(api.router, prefix=api.PREFIX)
    app.include_router(sign_in_pages.router)
    app.include_router(portal_pages.router)
    app.include_router(display.router)
    app.include_router(console.router)
    app.include_router(feed.router)
    app.mount(STATIC, Kept(directory=HERE / "static"))
    app.mount("/static", Revalidated(directory=HERE / "static"))
    app.mount(MODULES, Kept(directory=HERE / "node_modules", check_dir=False))
    app.mount("/modules", Revalidated(directory=HERE / "node_modules", check_dir=False))
    app.add_exception_handler(RdmsError, _refuse)
    app.add_exception_handler(CimError, _refuse)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(feed.Instead, feed.answer_instead)
    app.add_exception_handler(Exception, _admit)
    return Hardening(app)


async def _refuse(request: Request, error: Exception) -> Response:
    """A problem; who is nobody and wants a page signs in first."""
    try:
        is_known = await _is_known(request, error)
    except RecordsUnavailable as away:
        is_known, error = True, away
    await refusals.record(request, error)
    if _is_api(request) and not is_known:
        error = Unauthenticated(NOBODY)  # who learns nothing of what was wrong
    if isinstance(error, Unauthenticated) and not _is_api(request):
        target = request.url.path if request.method == "GET" else "/"
        return RedirectResponse(f"{signing_in.PATH}?next={quote(target, safe='')}", 303)
    problem, headers = _describe(error), _make_headers(error)
    if _wants_page(request):
        shown = page(request, "problem.html", status=problem.status, problem=problem)
        shown.headers.update(headers)
        return shown
    if problem.status == 401:
        headers["www-authenticate"] = 'Bearer realm="OpenRDMS"'
    return problems.render(problem, headers)


def _make_headers(error: Exception) -> dict[str, str]:
    if isinstance(error, HTTPException):
        return dict(error.headers or {})
    if isinstance(error, Locked | Overloaded):
        return {"retry-after": str(error.seconds)}
    return {"retry-after": str(_RECORDS_BACK)} if problems.are_records_away(error) else {}


async def _admit(request: Request, _error: Exception) -> Response:
    """A defect of ours, which uvicorn logs; nothing of it is said, and no service asked."""
    problem = problems.from_http(HTTPException(500))
    if _wants_page(request):
        return page(request, "problem.html", status=problem.status, problem=problem)
    return problems.render(problem)


async def _is_known(request: Request, error: Exception) -> bool:
    """Bodies are read before anybody asks who sent them. RecordsUnavailable."""
    if problems.are_records_away(error):  # nobody can be known, and that they are is no secret
        return True
    state = request.state
    if not hasattr(state, "visitor") and not isinstance(error, Unauthenticated):
        state.visitor = await find_visitor(request)
    return getattr(state, "visitor", None) is not None


def _wants_page(request: Request) -> bool:
    """Whether it is a person who looks at the answer."""
    return not _is_api(request) and request.headers.get("accept", "").startswith("text/html")


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(api.PREFIX)


def _describe(error: Exception) -> Problem:
    match error:
        case RdmsError():
            return problems.from_error(error)
        case CimError():
            return problems.from_cim(error)
        case RequestValidationError():
            return problems.from_validation(error)
        case HTTPException():
            return problems.from_http(error)
    raise error
