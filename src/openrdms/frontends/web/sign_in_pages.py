"""Signing in and out with a browser."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from openrdms.frontends.web.pages import page
from openrdms.frontends.web.visitors import (
    COOKIE,
    AnyVisitor,
    Forged,
    address_of,
    backend_of,
    find_visitor,
    is_same_origin,
)
from openrdms.model.account import Account
from openrdms.model.errors import AccessDenied
from openrdms.security.sign_in import Locked

PATH = "/sign-in"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def show(request: Request, next: str = "/") -> Response:  # noqa: A002  name of the parameter
    """The form; who is signed in already goes on."""
    if await find_visitor(request):
        return RedirectResponse(_local(next), 303)
    return page(request, "sign-in.html", next=_local(next), name="", error="")


@router.post(PATH)
async def submit(
    request: Request,
    name: Annotated[str, Form(max_length=256)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=2048)] = "/",  # noqa: A002  name of the field
) -> Response:
    """A session, or the form with what was wrong."""
    if not is_same_origin(request):  # nobody may be signed in as somebody else from another site
        raise Forged("Origin: another site's")
    sign_in = backend_of(request).sign_in
    try:
        account = await run_in_threadpool(sign_in.by_password, name, password, address_of(request))
    except AccessDenied as error:
        status = 429 if isinstance(error, Locked) else 401
        shown = page(
            request, "sign-in.html", status=status, next=_local(next), name=name, error=str(error)
        )
        if isinstance(error, Locked):
            shown.headers["retry-after"] = str(error.seconds)
        return shown
    return await begin_session(request, account, next)


async def begin_session(request: Request, account: Account, following: str) -> Response:
    """On to where somebody wanted to go, with the cookie of a new session."""
    sessions = backend_of(request).web_sessions
    secret, _ = await run_in_threadpool(sessions.begin, account, address_of(request))
    reply = RedirectResponse(_local(following), 303)
    reply.set_cookie(COOKIE, secret, secure=True, httponly=True, samesite="lax", path="/")
    return reply


@router.post("/sign-out")
async def sign_out(visitor: AnyVisitor) -> Response:
    """End the session."""
    if visitor.session:
        await run_in_threadpool(visitor.backend.web_sessions.end, visitor.session)
    reply = RedirectResponse(PATH, 303)
    reply.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax", path="/")
    return reply


def _local(target: str) -> str:
    """A path of this site, "/" for anything else: nobody is led elsewhere by a link to us."""
    parts = urlsplit(target)
    outside = parts.scheme or parts.netloc or not target.startswith("/") or "\\" in target
    return "/" if outside or target.startswith("//") else target
