"""To an OpenID provider and back."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from openrdms.frontends.web.back_pressure import Overloaded, run_sign_in
from openrdms.frontends.web.signing_in import (
    PATH as SIGN_IN,
)
from openrdms.frontends.web.signing_in import (
    STEP_COOKIE,
    begin_session,
    drop_cookie,
    lead_to,
    local,
    set_cookie,
    show_form,
)
from openrdms.frontends.web.visitors import address_of, backend_of
from openrdms.model.errors import NotFound, RdmsError

PATH = f"{SIGN_IN}/provider"
BACK = f"{PATH}/back"
"""The path of the redirect URI that the provider must know."""

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def leave(request: Request, next: str = "/") -> Response:  # noqa: A002  name of the parameter
    """To the provider. It leads back nowhere but to what it has on its list."""
    sign_in = backend_of(request).sign_in
    if sign_in.provider is None:
        raise NotFound("there is no provider to sign in at")
    redirect_uri = f"https://{request.headers.get('host', '')}{BACK}"
    try:
        url, secret = await run_sign_in(
            partial(sign_in.leave, redirect_uri, local(next), address_of(request))
        )
    except Overloaded:
        raise
    except RdmsError as error:
        return _show(request, error, local(next))
    reply = RedirectResponse(url, 303)
    set_cookie(reply, STEP_COOKIE, secret)
    return reply


@router.get(BACK)
async def come_back(request: Request) -> Response:
    """A session for who the provider says it is."""
    sign_in = backend_of(request).sign_in
    secret, address = request.cookies.get(STEP_COOKIE, ""), address_of(request)
    answer = dict(request.query_params)
    try:
        finish = partial(sign_in.come_back, secret, answer, address)
        account, following = await run_sign_in(finish)
    except Overloaded:
        raise
    except RdmsError as error:
        reply = _show(request, error)
        drop_cookie(reply, STEP_COOKIE)
        return reply
    return await begin_session(request, account, lead_to(following))


def _show(request: Request, error: RdmsError, following: str = "/") -> Response:
    provider = backend_of(request).sign_in.provider
    return show_form(
        request,
        "sign-in.html",
        error,
        next=following,
        name="",
        provider=provider.ask.title if provider else "",
        provider_page=PATH,
    )
