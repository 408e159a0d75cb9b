"""The displays of desktops: tickets to one's own, and for staff to others'; the clipboard."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.visitors import AnyVisitor, Connecting
from openrdms.model.display_ticket import LIFETIME, Mode
from openrdms.model.web_session import Scope
from openrdms.services.clipboards import MAX_TEXT

router = APIRouter(tags=["desktops"])

Name = Annotated[str, Path(max_length=256)]


class WantedDisplay(BaseModel):
    """``mode`` is for staff; who has the desktop controls it."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Mode.VIEW


class DisplayLeave(BaseModel):
    """``ticket`` opens the WebSocket /api/v1/display once, within ``seconds``, with the cookie of
    the account's session; it goes as the subprotocol ``ticket.TICKET`` beside ``binary``.
    ``page`` is where a browser does all that.
    """

    ticket: str
    mode: Mode
    seconds: int
    page: str


class Clipboard(BaseModel):
    """Text."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=MAX_TEXT)]


@router.post("/desktops/{name}/display")
@on_hosts
def open_display(visitor: AnyVisitor, name: Name, wanted: WantedDisplay) -> DisplayLeave:
    """A ticket to the screen of a desktop.

    The account that has the desktop gets one to control it. Others are staff: before they get
    one, all who are logged on there are told of it.
    """
    account, tickets = visitor.account.name, visitor.backend.display_tickets
    if tickets.is_holder(account, name):
        visitor.require(Scope.CONNECT)
        return _leave(name, Mode.CONTROL, tickets.issue(account, name))
    visitor.require(Scope.SESSIONS)
    with visitor.watch("OpenRDMS_Display", wanted.mode.title(), on={"Name": name}):
        ticket = tickets.issue_to_staff(account, name, wanted.mode)
    return _leave(name, wanted.mode, ticket)


@router.get("/desktops/{name}/clipboard")
@on_hosts
def read_clipboard(visitor: Connecting, name: Name) -> Clipboard:
    """What was copied in a desktop of one's own; nothing of what is no text."""
    return Clipboard(text=visitor.backend.clipboards.read(visitor.account.name, name))


@router.put("/desktops/{name}/clipboard", status_code=204)
@on_hosts
def write_clipboard(visitor: Connecting, name: Name, clipboard: Clipboard) -> None:
    """Text to paste in a desktop of one's own."""
    visitor.backend.clipboards.write(visitor.account.name, name, clipboard.text)


def _leave(name: str, mode: Mode, ticket: str) -> DisplayLeave:
    seconds = int(LIFETIME.total_seconds())
    page = f"/display/{quote(name, safe='')}?mode={mode}"
    return DisplayLeave(ticket=ticket, mode=mode, seconds=seconds, page=page)
