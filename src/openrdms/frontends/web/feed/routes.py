"""Where clients of the feed ask: the list, the login page, icons and RDP files (MS-TSWP 3.1.5).

Who has no cookie is sent to the login page, which hands one out; who brings his credentials with
the request is served at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from openrdms.frontends.web.api.rdp import as_download
from openrdms.frontends.web.back_pressure import PRESSURE, run_sign_in
from openrdms.frontends.web.feed import document, icons, login
from openrdms.frontends.web.visitors import backend_of
from openrdms.model.account import Account
from openrdms.model.errors import NotFound
from openrdms.model.publishing import Resource
from openrdms.model.rdp_token import FEED_LIFE

PREFIXES = ("/RDWeb", "/rdweb")
"""Clients add the first one to a server's name; people type the second."""

_LOGIN = "/FeedLogin/WebFeedLogin.aspx"
_RADC = "application/x-msts-radc+xml"
_WANTS_FOLDERS = "radc_schema_version=2.0"

router = APIRouter(include_in_schema=False)
_router = APIRouter()


class Instead(Exception):
    """The request of somebody unknown is answered with this."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


async def answer_instead(_request: Request, error: Exception) -> Response:
    """The handler of ``Instead``."""
    assert isinstance(error, Instead)  # noqa: S101  for whom alone it is registered
    return error.response


async def _prove(request: Request) -> tuple[Account, Mapping[str, str]]:
    answer = await run_sign_in(partial(login.prove, request))
    await asyncio.sleep(answer.delay)
    if answer.account is None:
        raise Instead(_with(Response(status_code=401), answer.headers))
    return answer.account, dict(answer.headers)


def _with(response: Response, headers: tuple[tuple[str, str], ...]) -> Response:
    """Each challenge in a header of its own: clients do not take lists apart."""
    for name, value in headers:
        response.headers.append(name, value)
    return response


async def find_account(request: Request) -> AsyncIterator[Account]:
    """Somebody; Instead for nobody, who is sent to the login page. Overloaded."""
    account = await run_in_threadpool(login.find_by_cookie, request)
    if account is None:
        account = await _prove_or_send_away(request)
    with PRESSURE.admit(account.name):
        yield account


async def _prove_or_send_away(request: Request) -> Account:
    if login.may_be_known(request):
        return (await _prove(request))[0]
    prefix = request.url.path.split("/", 2)[1]
    target = f"/{prefix}{_LOGIN}?ReturnUrl={quote(request.url.path, safe='')}"
    raise Instead(RedirectResponse(target, 302))


Somebody = Annotated[Account, Depends(find_account)]


@_router.get(_LOGIN)
async def log_in(request: Request) -> Response:
    """A cookie, in the body, for whoever proves who he is."""
    account, headers = await _prove(request)
    cookie = backend_of(request).feed.cookies.issue(account)
    kind = "application/x-msts-webfeed-login; charset=utf-8"
    return Response(cookie, media_type=kind, headers=headers)


@_router.get("/Feed/webfeed.aspx")
def show_list(request: Request, account: Somebody) -> Response:
    """The list, in the schema that the client asks for."""
    backend = backend_of(request)
    new = _WANTS_FOLDERS in request.headers.get("accept", "").replace(" ", "")
    publisher = document.Publisher(
        str(backend.settings.find("WorkspaceName") or "OpenRDMS"),
        backend.deployment.client_access_name(),
    )
    base = str(request.base_url).rstrip("/") + f"{PREFIXES[0]}/Feed/resources"
    content = document.render(
        publisher,
        _list_resources(request, account),
        document.NEW if new else document.OLD,
        lambda one, kind: f"{base}/{document.resource_id(one)}.{kind}",
        lambda one: icons.find_png(one.icon) is not None,
    )
    return _cached(request, content, f"{_RADC if new else 'text/xml'}; charset=utf-8")


@_router.get("/Feed/resources/{key}.ico")
def show_icon(request: Request, account: Somebody, key: str) -> Response:
    """The icon of a resource that the account may see."""
    resource = _find(request, account, key)
    return _cached(request, icons.as_ico(resource.icon), "image/x-icon")


@_router.get("/Feed/resources/{key}.png")
def show_picture(request: Request, account: Somebody, key: str) -> Response:
    """The same with 32 by 32 pixels."""
    picture = icons.find_png(_find(request, account, key).icon)
    if picture is None:
        raise NotFound("the resource has no such picture")
    return _cached(request, picture, "image/png")


@_router.get("/Feed/resources/{key}.rdp")
def show_file(request: Request, account: Somebody, key: str) -> Response:
    """An RDP file that leads to the resource."""
    resource = _find(request, account, key)
    made = backend_of(request).rdp_files.make(
        account.name,
        resource.collection,
        resource.application,
        reached_by=request.url.hostname or "",
        life=FEED_LIFE,
    )
    return as_download(made)


def _find(request: Request, account: Account, key: str) -> Resource:
    for one in _list_resources(request, account):
        if document.resource_id(one) == key:
            return one
    raise NotFound("there is no such resource")


def _list_resources(request: Request, account: Account) -> Sequence[Resource]:
    """What the account may see and open."""
    backend = backend_of(request)
    return backend.publishing.list_feed(backend.access.get_person(account.name)).resources


def _cached(request: Request, content: bytes, kind: str) -> Response:
    """A client that has it already is told so."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


for _prefix in PREFIXES:
    router.include_router(_router, prefix=_prefix)
