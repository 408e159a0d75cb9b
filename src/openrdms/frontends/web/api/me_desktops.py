"""What a user may open, what he has open, and where he waits."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from openrdms.frontends.web.api.desktops import RunState
from openrdms.frontends.web.api.shapes import Input, Line, Name
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.paging import Page, Paging
from openrdms.frontends.web.visitors import Connecting, Visitor
from openrdms.model.errors import NotFound
from openrdms.model.publishing import ResourceKind
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.brokering import Connection, How, User
from openrdms.services.own_desktops import Action, Offer, Stage
from openrdms.services.user_news import KEEP_SECONDS

router = APIRouter(prefix="/me", tags=["me"])

_CLASS = "OpenRDMS_OwnDesktop"
_AGAIN = 2
"""Seconds until it is worth while to ask again for a desktop that is on its way."""


class Delay(BaseModel):
    """Why one waits. ``position`` counts from 1, ``seconds`` is an estimate; both null where there
    is no telling.
    """

    reason: ReasonCode
    words: str
    position: int | None
    seconds: int | None


class OwnResource(BaseModel):
    """Something that the user may open: a desktop, or an application when ``application`` is not
    empty. ``desktop`` is the one that he has.
    """

    collection: str
    application: str
    kind: ResourceKind
    title: str
    folder: str | None
    icon: str | None = Field(description="Where its picture is.")
    stage: Stage
    desktop: str
    state: RunState | None
    delay: Delay | None
    actions: list[Action]


class WantedConnection(Input):
    """What to open."""

    collection: Name
    application: Line = ""


class Display(BaseModel):
    """The desktop in the browser: a page, and a ticket for its display that is good once."""

    ticket: str
    page: str


class RdpLink(BaseModel):
    """Where its RDP file is."""

    href: str


class Opened(BaseModel):
    """The desktop, ready to be used."""

    desktop: str
    how: How
    display: Display
    rdp: RdpLink


@router.get("/resources")
@on_hosts
def list_resources(visitor: Connecting, part: Paging) -> Page[OwnResource]:
    """What the user may open, and how near he is to each."""
    offers = visitor.backend.own_desktops.list_offers(user_of(visitor))
    return part.cut(offers, _key, _render)


@router.get("/resources/{collection}/icon", response_class=Response)
def show_icon(visitor: Connecting, collection: Name, application: Line = "") -> Response:
    """The picture of a desktop or an application that is published to the user."""
    user = user_of(visitor)
    icon = visitor.backend.own_desktops.find_resource(user, collection, application).icon
    kind = find_picture_type(icon)
    if icon is None or kind is None:
        raise NotFound("it has no icon that browsers can show")
    return Response(icon, media_type=kind, headers={"cache-control": "private, max-age=300"})


@router.post(
    "/connections",
    response_model=Opened,
    responses={202: {"model": Delay, "description": "He waits; asking again keeps the place."}},
)
@on_hosts
def connect(visitor: Connecting, wanted: WantedConnection, response: Response) -> Opened | Response:
    """Bring the user to his desktop: the one that he has, the one that is his, or a spare."""
    user, alias = user_of(visitor), wanted.collection
    if wanted.application:
        visitor.backend.own_desktops.find_resource(user, alias, wanted.application)
    answer = _connect(visitor, user, alias)
    if isinstance(answer, Wait):
        again = _AGAIN if answer.position is None else int(KEEP_SECONDS)
        body = describe_wait(answer).model_dump_json()
        headers = {"retry-after": str(again)}
        return Response(body, 202, headers, media_type="application/json")
    response.headers["cache-control"] = "no-store"
    return Opened(
        desktop=answer.desktop,
        how=answer.how,
        display=Display(
            ticket=visitor.backend.display_tickets.issue(visitor.account.name, answer.desktop),
            page=f"/display/{quote(answer.desktop, safe='')}",
        ),
        rdp=RdpLink(href=rdp_href(alias, wanted.application)),
    )


def _connect(visitor: Visitor, user: User, alias: str) -> Connection | Wait:
    """Who asks again to keep his place is not on record each time."""
    brokering = visitor.backend.brokering
    if brokering.is_waiting(user, alias):
        return brokering.connect(user, alias)
    with visitor.watch(_CLASS, "Connect", on={"CollectionAlias": alias}):
        return brokering.connect(user, alias)


@router.delete("/connections/{collection}", status_code=204)
def give_up(visitor: Connecting, collection: Name) -> Response:
    """Wait no more; a desktop that he has stays his."""
    visitor.backend.brokering.leave(user_of(visitor), collection)
    return Response(status_code=204)


@router.post("/desktops/{name}/start", status_code=204)
@on_hosts
def start_desktop(visitor: Connecting, name: Name) -> Response:
    """Start a desktop of one's own."""
    return _act(visitor, name, Action.START)


@router.post("/desktops/{name}/restart", status_code=204)
@on_hosts
def restart_desktop(visitor: Connecting, name: Name) -> Response:
    """Shut a desktop of one's own down and start it again."""
    return _act(visitor, name, Action.RESTART)


@router.post("/desktops/{name}/reset", status_code=204)
@on_hosts
def reset_desktop(visitor: Connecting, name: Name) -> Response:
    """Switch a desktop of one's own off and on; one of a pool is given back for a fresh one."""
    return _act(visitor, name, Action.RESET)


def _act(visitor: Visitor, name: str, action: Action) -> Response:
    with visitor.watch(_CLASS, action.capitalize(), on={"Name": name}):
        visitor.backend.own_desktops.act(user_of(visitor), name, action)
    return Response(status_code=204)


@router.get(
    "/desktops/{name}/screenshot.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "Its screen."}},
)
@on_hosts
def get_screenshot(visitor: Connecting, name: Name) -> Response:
    """What the screen of a desktop of one's own shows."""
    picture = visitor.backend.own_desktops.take_screenshot(user_of(visitor), name)
    return Response(picture, media_type="image/png", headers={"cache-control": "no-store"})


def user_of(visitor: Visitor) -> User:
    """The visitor as somebody who connects: accounts of ours have no domain."""
    return visitor.backend.brokering.find_user(visitor.account.name, "")


def rdp_href(collection: str, application: str) -> str:
    """Where the RDP file of a resource is."""
    query = f"?{urlencode({'application': application})}" if application else ""
    return f"/api/v1/me/connections/{quote(collection, safe='')}.rdp{query}"


def icon_href(collection: str, application: str) -> str:
    """Where the picture of a resource is."""
    query = f"?{urlencode({'application': application})}" if application else ""
    return f"/api/v1/me/resources/{quote(collection, safe='')}/icon{query}"


def find_picture_type(icon: bytes | None) -> str | None:
    """By its first bytes; None for what is no picture that a browser shows without harm."""
    return next((kind for start, kind in _PICTURES if icon and icon.startswith(start)), None)


_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def describe_wait(wait: Wait) -> Delay:
    """As a reply."""
    seconds = None if wait.seconds is None else round(wait.seconds)
    return Delay(reason=wait.code, words=wait.words, position=wait.position, seconds=seconds)


def _key(offer: Offer) -> str:
    resource = offer.resource
    return f"{resource.collection.casefold()}/{resource.application.casefold()}"


def _render(offer: Offer) -> OwnResource:
    resource = offer.resource
    pictured = find_picture_type(resource.icon) is not None
    return OwnResource(
        collection=resource.collection,
        application=resource.application,
        kind=resource.kind,
        title=resource.title,
        folder=resource.folder,
        icon=icon_href(resource.collection, resource.application) if pictured else None,
        stage=offer.stage,
        desktop=offer.desktop,
        state=RunState(offer.state.name.lower()) if offer.state is not None else None,
        delay=describe_wait(offer.wait) if offer.wait else None,
        actions=list(offer.actions),
    )
