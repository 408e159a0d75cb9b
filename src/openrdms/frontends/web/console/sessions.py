"""Sessions: who is logged on, as a list or as screens."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.api.sessions import parse_query, read_sessions
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.console.shell import PREFIX, find_looks, show
from openrdms.frontends.web.paging import Paging
from openrdms.frontends.web.visitors import Reader
from openrdms.model.desktop_list import DesktopQuery

CLASS = "Win32_VirtualDesktopSession"

router = APIRouter(prefix=f"{PREFIX}/sessions")


class View(StrEnum):
    """How they are shown."""

    LIST = "list"
    SCREENS = "screens"


@router.get("")
@on_hosts
def list_sessions(
    request: Request,
    visitor: Reader,
    part: Paging,
    query: Annotated[DesktopQuery, Depends(parse_query)],
    view: Annotated[View, Query()] = View.LIST,
    cursor: str = "",
) -> Response:
    """A page of those that meet the filters."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(CLASS, guard.ENUMERATE):
        found = read_sessions(backend, part, query)
    return show(
        request,
        visitor,
        "sessions.html",
        position=position,
        page=found,
        query=query,
        view=view,
        cursor=cursor,
        collections=backend.collections.list_collections(),
        **find_looks(visitor),
    )
