"""The audit log: who changed what, and who was refused."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.api.audit import read_page
from openrdms.frontends.web.clock import clock_for
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.paging import Paging
from openrdms.frontends.web.translations import words_for
from openrdms.frontends.web.visitors import Reader
from openrdms.model.audit import AuditQuery

CLASS = "OpenRDMS_AuditLog"

router = APIRouter(prefix=f"{PREFIX}/audit")


@router.get("")
def list_calls(
    request: Request,
    visitor: Reader,
    part: Paging,
    who: Annotated[str, Query(max_length=256)] = "",
    class_name: Annotated[str, Query(max_length=256)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    cursor: str = "",
) -> Response:
    """The newest first; ``since`` is a day by the visitor's clock."""
    query = AuditQuery(_begin(request, since), who or None, class_name or None)
    with visitor.watch(CLASS, guard.ENUMERATE):
        found = read_page(visitor.backend, part, query)
    return show(
        request,
        visitor,
        "audit.html",
        page=found,
        query={"who": who, "class_name": class_name, "since": since},
        cursor=cursor,
    )


def _begin(request: Request, day: str) -> datetime | None:
    zone = clock_for(request, words_for(request)).zone
    try:
        return datetime.combine(datetime.fromisoformat(day).date(), time(), zone) if day else None
    except ValueError:  # no day (yet): somebody is typing
        return None
