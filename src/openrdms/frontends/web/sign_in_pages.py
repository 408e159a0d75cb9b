"""Signing in and out with a browser."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from openrdms.frontends.web import provider_pages, second_step_pages
from openrdms.frontends.web.back_pressure import Overloaded, run_sign_in
from openrdms.frontends.web.signing_in import (
    PATH,
    STEP_COOKIE,
    begin_session,
    check_form,
    drop_cookie,
    lead_to,
    local,
    set_cookie,
    show_form,
)
from openrdms.frontends.web.visitors import (
    COOKIE,
    AnyVisitor,
    address_of,
    backend_of,
    find_visitor,
)
from openrdms.model.errors import RdmsError

router = APIRouter(include_in_schema=False)
router.include_router(second_step_pages.router)
router.include_router(provider_pages.router)


@router.get(PATH)
async def show(request: Request, next: str = "/") -> Response:  # noqa: A002  name of the parameter
    """The form; who is signed in already goes on."""
    if await find_visitor(request):
        return lead_to(next)
    return _show(request, next)


def _show(
    request: Request, following: str, name: str = "", error: RdmsError | None = None
) -> Response:
    provider = backend_of(request).sign_in.provider
    query = urlencode({"next": local(following)})
    return show_form(
        request,
        "sign-in.html",
        error,
        next=local(following),
        name=name,
        provider=provider.ask.title if provider else "",
        provider_page=f"{provider_pages.PATH}?{query}",
    )


@router.post(PATH)
async def submit(
    request: Request,
    name: Annotated[str, Form(max_length=256)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=2048)] = "/",  # noqa: A002  name of the field
    form_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """A session, the second step, or the form with what was wrong."""
    check_form(request, form_token)
    sign_in = backend_of(request).sign_in
    try:
        check = partial(sign_in.by_password, name, password, address_of(request))
        account = await run_sign_in(check)
    except Overloaded:
        raise
    except RdmsError as error:
        return _show(request, next, name, error)
    if not sign_in.second_factors.is_needed(account):
        return await begin_session(request, account, lead_to(next))
    reply = lead_to(second_step_pages.PATH)
    set_cookie(
        reply, STEP_COOKIE, sign_in.begin_second_step(account, local(next), address_of(request))
    )
    return reply


@router.post("/sign-out")
async def sign_out(visitor: AnyVisitor) -> Response:
    """End the session."""
    if visitor.session:
        await run_in_threadpool(visitor.backend.web_sessions.end, visitor.session)
    reply = RedirectResponse(PATH, 303)
    drop_cookie(reply, COOKIE)
    return reply
