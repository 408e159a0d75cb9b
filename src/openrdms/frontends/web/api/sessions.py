"""Users who are logged on; messages to many, many disconnected or logged off at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from openrdms.cim.guard import ENUMERATE
from openrdms.cim.types import CimValue
from openrdms.frontends.web.api.shapes import Input, Name, Text, example
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.idempotency import IdempotentRoute
from openrdms.frontends.web.paging import Page, Paging, Part, encode_cursor
from openrdms.frontends.web.visitors import Reader, Visitor, reading
from openrdms.model.desktop_list import DesktopQuery
from openrdms.model.desktop_use import Use
from openrdms.model.errors import InvalidParameter, SessionError
from openrdms.model.session import CONNECT_STATES, Session
from openrdms.model.web_session import Scope
from openrdms.security.policy import Right, decide

router = APIRouter(prefix="/sessions", tags=["sessions"], route_class=IdempotentRoute)

_CLASS = "Win32_VirtualDesktopSession"
MOST_AT_ONCE = 1000


class UserSession(BaseModel):
    """Somebody logged on to a desktop. ``host`` and ``id`` name the session; ids are never given
    twice. ``since`` is the logon, ``idle_seconds`` how long nobody touched it, null where the guest
    does not tell.
    """

    host: str
    id: int
    desktop: str
    collection: str
    user: str
    domain: str
    state: str
    client: str
    since: datetime | None
    idle_seconds: int | None


class SessionRef(Input):
    """Which session."""

    host: Name
    id: Annotated[int, Field(ge=0, lt=2**31)]


class Chosen(Input):
    """Sessions, each once."""

    sessions: Annotated[list[SessionRef], Field(min_length=1, max_length=MOST_AT_ONCE)]


class SessionMessage(Chosen):
    """What is shown to all of them; one of title and text may be empty."""

    model_config = example(
        sessions=[{"host": "host1", "id": 7}], title="Maintenance", text="at 18:00"
    )

    title: Text = ""
    text: Text = ""


class SessionResult(BaseModel):
    """What came of one. ``error`` is a Win32 code: 0 when it was done, 5 refused by the guest,
    21 its VM is off, 1168 it has ended, 1722 its guest does not answer.
    """

    host: str
    id: int
    error: int
    reason: str


class SessionResults(BaseModel):
    """In the order in which they were asked for."""

    results: list[SessionResult]


def read_sessions(backend: Backend, part: Part, query: DesktopQuery) -> Page[UserSession]:
    """Sessions on ``part.limit`` desktops that somebody has; only their guests are asked, and one
    that does not answer within 2 s is left out.
    """
    found = backend.desktop_list.rows(query, part.after, part.limit + 1)
    asked, more = found[: part.limit], found[part.limit :]
    sessions = backend.sessions.list_on(row.name for row in asked)
    in_order = sorted(sessions, key=lambda one: (one.vm.casefold(), one.session_id))
    following = encode_cursor(asked[-1].key) if more else None
    return Page(items=[_render(one) for one in in_order], next=following)


def _render(session: Session) -> UserSession:
    return UserSession(
        host=session.host,
        id=session.session_id,
        desktop=session.vm,
        collection=session.collection,
        user=session.user,
        domain=session.domain,
        state=CONNECT_STATES[session.state],
        client=session.client,
        since=session.since,
        idle_seconds=None if session.idle is None else int(session.idle.total_seconds()),
    )


def parse_query(
    search: Annotated[
        str, Query(max_length=256, description="Part of a desktop's or a user's name.")
    ] = "",
    collection: Annotated[str, Query(max_length=256)] = "",
    host: Annotated[str, Query(max_length=256)] = "",
) -> DesktopQuery:
    """The query of a list of sessions: of desktops that somebody has."""
    return DesktopQuery(collection=collection, host=host, use=Use.TAKEN, search=search)


def _keeping(visitor: Annotated[Visitor, Depends(reading)]) -> Visitor:
    visitor.require(Scope.SESSIONS)
    return visitor


Keeper = Annotated[Visitor, Depends(_keeping)]
"""Staff, with a scope to act on sessions."""


@router.get("")
@on_hosts
def list_sessions(
    visitor: Reader, part: Paging, query: Annotated[DesktopQuery, Depends(parse_query)]
) -> Page[UserSession]:
    """Who is logged on, in order of desktop. Guests are asked, 2 s each at most; `limit` counts
    desktops, on each of which there may be none or several.
    """
    with visitor.watch(_CLASS, ENUMERATE):
        return read_sessions(visitor.backend, part, query)


@router.post("/messages")
@on_hosts
def send_messages(visitor: Keeper, message: SessionMessage) -> SessionResults:
    """Show a message in many sessions; each has its own result."""
    if not message.title and not message.text:
        raise InvalidParameter("text", "is empty, and so is title")
    sessions = visitor.backend.sessions
    return _act(
        visitor,
        "SendMessage",
        message.sessions,
        lambda host, number: sessions.send_message(host, number, message.title, message.text),
    )


@router.post("/disconnect")
@on_hosts
def disconnect_sessions(visitor: Keeper, chosen: Chosen) -> SessionResults:
    """Part sessions from their clients; they run on."""
    return _act(visitor, "Disconnect", chosen.sessions, visitor.backend.sessions.disconnect)


@router.post("/log-off")
@on_hosts
def log_off_sessions(visitor: Keeper, chosen: Chosen) -> SessionResults:
    """End sessions; what was not saved in them is lost."""
    return _act(visitor, "Logoff", chosen.sessions, visitor.backend.sessions.log_off)


def _act(
    visitor: Visitor,
    method: str,
    chosen: Sequence[SessionRef],
    act: Callable[[str, int], None],
) -> SessionResults:
    """Each session by itself, all at once, each in the audit log."""

    def attempt(one: SessionRef) -> SessionResult:
        keys: dict[str, CimValue] = {"VMHostName": one.host, "SessionId": one.id}
        try:
            with visitor.watch(_CLASS, method, on=keys):
                act(one.host, one.id)
        except SessionError as error:
            return SessionResult(host=one.host, id=one.id, error=error.win32, reason=str(error))
        return SessionResult(host=one.host, id=one.id, error=0, reason="")

    if decide(visitor.account.role, _CLASS, method) is Right.DENIED:
        visitor.watch(_CLASS, method)  # refuses, and records it once
    return SessionResults(results=[*visitor.backend.sessions.each(attempt, chosen)])
