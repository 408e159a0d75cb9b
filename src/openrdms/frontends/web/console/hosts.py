"""Hosts: how they are, and what an administrator has set for them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.visitors import Reader

CLASS = "OpenRDMS_Host"

router = APIRouter(prefix=f"{PREFIX}/hosts")


@router.get("")
@on_hosts
def list_hosts(request: Request, visitor: Reader) -> Response:
    """All of them."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(CLASS, guard.ENUMERATE):
        hosts = list(backend.host_states.list())
    return show(request, visitor, "hosts.html", position=position, hosts=hosts)


@router.get("/{name}")
@on_hosts
def show_host(request: Request, visitor: Reader, name: str) -> Response:
    """One."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(CLASS, guard.GET, on={"Name": name}):
        host = backend.host_states.get(name)
    return show(request, visitor, "host.html", position=position, host=host)
