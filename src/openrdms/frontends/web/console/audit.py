"""The audit log: who changed what, and who was refused."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.clock import clock_for
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.translations import words_for
from openrdms.frontends.web.visitors import Reader
from openrdms.model.audit import AuditQuery

CLASS = "OpenRDMS_AuditLog"
_SHOWN = 200

router = APIRouter(prefix=f"{PREFIX}/audit")


@router.get("")
def list_calls(
    request: Request,
    visitor: Reader,
    who: Annotated[str, Query(max_length=256)] = "",
    class_name: Annotated[str, Query(max_length=256)] = "",
    since: str = "",
) -> Response:
    """The newest that meet the filters; ``since`` is a day by the visitor's clock."""
    query = AuditQuery(_begin(request, since), who or None, class_name or None, _SHOWN + 1)
    with visitor.watch(CLASS, guard.ENUMERATE):
        calls = visitor.backend.audit_log.list_calls(query)
    return show(
        request,
        visitor,
        "audit.html",
        calls=calls[::-1][:_SHOWN],
        more=len(calls) > _SHOWN,
        query={"who": who, "class_name": class_name, "since": since},
    )


def _begin(request: Request, day: str) -> datetime | None:
    zone = clock_for(request, words_for(request)).zone
    try:
        return datetime.combine(datetime.fromisoformat(day).date(), time(), zone) if day else None
    except ValueError:  # no day (yet): somebody is typing
        return None
