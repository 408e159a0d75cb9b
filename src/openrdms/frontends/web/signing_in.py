"""What all pages have by which somebody signs in: forms that are ours, words for what went wrong.

A form of somebody who has no session yet is proved by a cookie of its own, so that no other site
signs anybody in as somebody else.
"""

from __future__ import annotations

import hmac
import secrets
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from openrdms.frontends.web.clock import clock_for
from openrdms.frontends.web.pages import page
from openrdms.frontends.web.translations import words_for
from openrdms.frontends.web.visitors import (
    COOKIE,
    Forged,
    address_of,
    backend_of,
    is_same_origin,
)
from openrdms.model.account import Account
from openrdms.model.errors import DirectoryUnavailable, RdmsError, RecordsUnavailable
from openrdms.security.sign_in import Locked, TooLate, WrongCode, WrongPassword

PATH = "/sign-in"

FORM_COOKIE = "__Host-openrdms-form"
STEP_COOKIE = "__Host-openrdms-step"
"""What a browser holds between two steps."""


def show_form(
    request: Request, template: str, error: RdmsError | None = None, **values: Any
) -> Response:
    """A page with a form, and what was wrong with what was sent last."""
    token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(32)
    words = explain(request, error) if error else ""
    status = _status_of(error) if error else 200
    shown = page(request, template, status=status, error=words, form_token=token, **values)
    if isinstance(error, Locked):
        shown.headers["retry-after"] = str(error.seconds)
    set_cookie(shown, FORM_COOKIE, token)
    return shown


def check_form(request: Request, token: str) -> None:
    """Forged unless a page of ours has sent the form."""
    if not is_same_origin(request):
        raise Forged("Origin: another site's")
    held = request.cookies.get(FORM_COOKIE, "")
    if not held or not hmac.compare_digest(held.encode(), token.encode()):
        raise Forged("form_token: missing, or of another browser")


def explain(request: Request, error: RdmsError) -> str:
    """What went wrong, in the visitor's words; nobody learns more than that."""
    t = words_for(request)
    match error:
        case Locked():
            span = clock_for(request, t).span(error.seconds)
            return t("Too many attempts. Try again in {span}.", span=span)
        case WrongPassword():
            return t("The name or the password is wrong.")
        case WrongCode():
            return t("That code is wrong, or was used already.")
        case TooLate():
            return t("That has taken too long. Sign in again.")
        case DirectoryUnavailable() | RecordsUnavailable():
            return t("Who knows your account does not answer. Try again in a while.")
    return t("You may not sign in here. Ask an administrator.")


def _status_of(error: RdmsError) -> int:
    if isinstance(error, Locked):
        return 429
    return 503 if isinstance(error, DirectoryUnavailable | RecordsUnavailable) else 401


async def begin_session(
    request: Request, account: Account, reply: Response, *, is_passing: bool = False
) -> Response:
    """``reply`` with the cookie of a new session (``WebSessions.begin``)."""
    sessions = backend_of(request).web_sessions
    begin = partial(sessions.begin, account, address_of(request), is_passing=is_passing)
    secret, _ = await run_in_threadpool(begin)
    set_cookie(reply, COOKIE, secret)
    drop_cookie(reply, STEP_COOKIE)
    return reply


def lead_to(target: str) -> Response:
    """On to a path of this site."""
    return RedirectResponse(local(target), 303)


def set_cookie(reply: Response, name: str, value: str) -> None:
    """For this browser session, and this host alone."""
    reply.set_cookie(name, value, secure=True, httponly=True, samesite="lax", path="/")


def drop_cookie(reply: Response, name: str) -> None:
    """Have the browser forget it."""
    reply.delete_cookie(name, secure=True, httponly=True, samesite="lax", path="/")


def local(target: str) -> str:
    """A path of this site, "/" for anything else: nobody is led elsewhere by a link to us."""
    try:
        parts = urlsplit(target)
    except ValueError:  # half an address of IPv6
        return "/"
    outside = parts.scheme or parts.netloc or not target.startswith("/") or "\\" in target
    return "/" if outside or target.startswith("//") else target
