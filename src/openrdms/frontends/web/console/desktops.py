"""Desktops: found among many, and one of them with all that is known of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.api.desktops import Matching, read_desktop, read_page
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.console.shell import PREFIX, find_looks, may, show
from openrdms.frontends.web.paging import Paging
from openrdms.frontends.web.visitors import Reader, Visitor
from openrdms.model.audit import AuditedCall, AuditQuery

CLASS = "Win32_RDMSVirtualDesktop"
_HISTORY = 30
"""Calls of the audit log that are shown."""

router = APIRouter(prefix=f"{PREFIX}/desktops")


@router.get("")
@on_hosts
def list_desktops(
    request: Request,
    visitor: Reader,
    part: Paging,
    query: Matching,
    cursor: Annotated[str, Query()] = "",
) -> Response:
    """A page of those that meet the filters."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(CLASS, guard.ENUMERATE):
        found = read_page(backend, part, query)
        return show(
            request,
            visitor,
            "desktops.html",
            position=position,
            page=found,
            query=query,
            cursor=cursor,
            count=backend.desktop_list.count(query),
            collections=backend.collections.list_collections(),
            hosts=[host.name for host in backend.hosts.all()],
        )


@router.get("/{name}")
@on_hosts
def show_desktop(request: Request, visitor: Reader, name: str) -> Response:
    """One."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(CLASS, guard.GET, on={"Name": name}):
        desktop = read_desktop(backend, name)
    history = _find_history(visitor, desktop.name)
    return show(
        request,
        visitor,
        "desktop.html",
        position=position,
        desktop=desktop,
        history=history,
        **find_looks(visitor),
    )


def _find_history(visitor: Visitor, name: str) -> list[AuditedCall]:
    """What the audit log has on it, the newest first; nothing for who may not read that."""
    if not may(visitor, "OpenRDMS_AuditLog", guard.ENUMERATE):
        return []
    query = AuditQuery(about=name, limit=_HISTORY)
    return visitor.backend.audit_log.list_calls(query)[::-1]
