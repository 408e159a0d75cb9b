"""Collections: all of them, one of them, a new one, and what a job would do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.api.collections import read_collection, read_page, read_pool
from openrdms.frontends.web.api.job_documents import FIELDS, JobRequest, render_request
from openrdms.frontends.web.api.jobs import read_page as read_jobs
from openrdms.frontends.web.api.jobs import read_plan
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.console.charts import Share
from openrdms.frontends.web.console.shell import COLLECTIONS, PREFIX, show
from openrdms.frontends.web.console.words import USES
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.paging import Paging, Part
from openrdms.frontends.web.visitors import Reader
from openrdms.model.errors import InvalidOperation
from openrdms.model.job_list import JobQuery

_LATEST_JOBS = 6

router = APIRouter(prefix=f"{PREFIX}/collections")


@router.get("")
def list_collections(
    request: Request,
    visitor: Reader,
    part: Paging,
    search: Annotated[str, Query(max_length=256)] = "",
    cursor: str = "",
) -> Response:
    """Those whose name or alias has the text."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(COLLECTIONS, guard.ENUMERATE):
        found = read_page(backend, part, search)
    return show(
        request,
        visitor,
        "collections.html",
        position=position,
        page=found,
        shares={one.alias: _share_uses(one.uses.model_dump()) for one in found.items},
        search=search,
        cursor=cursor,
    )


@router.get("/new")
def show_wizard(request: Request, visitor: Reader) -> Response:
    """Make a collection and its first desktops."""
    backend = visitor.backend
    return show(
        request,
        visitor,
        "new-collection.html",
        images=_list_images(backend),
        hosts=[host.name for host in backend.hosts.all()],
        groups=sorted({group for one in backend.accounts.list() for group in one.groups}),
    )


@router.post("/plan")
@on_hosts
def show_plan(
    request: Request, visitor: Reader, wanted: JobRequest, *, new: bool = False
) -> Response:
    """What a job would do, for the pages that begin one; nothing changes."""
    with renamed(FIELDS), visitor.watch("OpenRDMS_Planner", "Plan"):
        plan = read_plan(visitor.backend, render_request(wanted), new=new, patient=False)
    return show(request, visitor, "plan.html", plan=plan)


@router.get("/{alias}")
@on_hosts
def show_collection(request: Request, visitor: Reader, alias: str) -> Response:
    """One."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(COLLECTIONS, guard.GET, on={"Alias": alias}):
        found = read_collection(backend, alias)
    return show(
        request,
        visitor,
        "collection.html",
        position=position,
        collection=found,
        shares=_share_uses(found.uses.model_dump()),
        pool=read_pool(backend, found.alias),
        access=_read_access(backend, found.alias),
        update=backend.patching.find(found.alias),
        jobs=read_jobs(backend, Part(_LATEST_JOBS), JobQuery(collection=found.alias)).items,
        images=_list_images(backend),
    )


def _read_access(backend: Backend, alias: str) -> list[str] | None:
    """Who is let in, in words; None for a descriptor that cannot be read."""
    try:
        entries = backend.access.list_entries(alias)
    except InvalidOperation:
        return None
    return [f"{'' if one.allow else '− '}{one.name or one.sid}" for one in entries]


def _share_uses(counts: dict[str, int]) -> list[Share]:
    return [Share(use, shown.words, counts[use], shown.tone) for use, shown in USES.items()]


def _list_images(backend: Backend) -> list[str]:
    """What a job may name: of each image its newest version first."""
    found = sorted(backend.images.list(), key=lambda image: (image.name, -image.version))
    return [image.reference for image in found if image.generalised]
