"""Virtual desktops: lists that stay quick, run states, users, screens."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from openrdms.cim.guard import ENUMERATE, GET
from openrdms.frontends.web.api.plans import JobPlan, render_plan
from openrdms.frontends.web.api.shapes import Count, Input, Line, Name
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.idempotency import IdempotentRoute
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader, Writer
from openrdms.model.desktop_list import DesktopQuery
from openrdms.model.desktop_use import Use
from openrdms.model.host import VmState
from openrdms.model.session import CONNECT_STATES
from openrdms.services.desktop_list import ListedDesktop

router = APIRouter(prefix="/desktops", tags=["desktops"], route_class=IdempotentRoute)

_CLASS = "Win32_RDMSVirtualDesktop"
_FIELDS = {"UserName": "user"}
_NUMBERS = {state.name.lower(): int(state) for state in VmState}


class RunState(StrEnum):
    """Whether its VM runs; unknown where its host does not say."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    STOPPED = "stopped"
    SAVED = "saved"
    PAUSED = "paused"


class WantedState(StrEnum):
    """What a desktop can be brought to; stopped is shut down, or switched off if it will not."""

    RUNNING = "running"
    STOPPED = "stopped"
    SAVED = "saved"
    PAUSED = "paused"


class Status(StrEnum):
    """Whether it was made well."""

    UNKNOWN = "unknown"
    SUCCESS = "success"
    FAILED = "failed"


class SeenSession(BaseModel):
    """Who was logged on when the guest last said so, within a minute."""

    user: str
    state: str


class Desktop(BaseModel):
    """A desktop on record. ``use`` says who may have it: ``holder`` while it is taken, the job
    while it is in work. ``reason`` says why it is in quarantine, or failed to be prepared.
    """

    name: str
    host: str
    collection: str
    image: str
    status: Status
    state: RunState
    use: Use
    since: datetime
    holder: str
    seen: bool = Field(description="True once the holder was logged on.")
    saved: bool
    job: str = Field(description="GUID of the job that has it in work, or gets it next.")
    failures: int
    reason: str
    adopted: bool = Field(description="True when no job of this service made it.")
    user: str | None = Field(description="To whom it is assigned, in a personal collection.")
    user_domain: str | None
    session: SeenSession | None


class DesktopDetail(Desktop):
    """What its host says of it besides; null while that does not answer."""

    memory_mib: int | None
    vcpus: int | None
    os: str | None


class StateChange(Input):
    """What to bring a desktop to."""

    state: Annotated[WantedState, Field(strict=False)]


class Release(Input):
    """``force`` logs off whoever is on it."""

    force: bool = False


class Move(Input):
    """``host`` is where a desktop is to go on."""

    host: Annotated[Line, Field(min_length=1)]


class UserAssignment(Input):
    """Whose a personal desktop is to be."""

    user: Annotated[Line, Field(min_length=1)]
    domain: Line = ""


def read_page(backend: Backend, part: Part, query: DesktopQuery) -> Page[Desktop]:
    """Desktops that meet a query, in order of name."""
    found = backend.desktop_list.page(query, part.after, part.limit + 1)
    return part.page(found, lambda one: one.row.key, lambda one: _render(backend, one))


def read_desktop(backend: Backend, name: str) -> DesktopDetail:
    """One, with what its host says. NotFound."""
    found = backend.desktop_list.get(name)
    vm = found.vm
    return DesktopDetail(
        **_render(backend, found).model_dump(),
        memory_mib=vm.memory_mib if vm else None,
        vcpus=vm.vcpus if vm else None,
        os=vm.os.value if vm else None,
    )


def _render(backend: Backend, found: ListedDesktop) -> Desktop:
    row = found.row
    running = found.state is VmState.RUNNING
    seen = backend.sessions.last_seen(row.host, row.name) if running else None
    return Desktop(
        name=row.name,
        host=row.host,
        collection=row.collection,
        image=row.image,
        status=Status(row.status.name.lower()),
        state=RunState(found.state.name.lower()),
        use=row.use,
        since=row.since,
        holder=row.holder,
        seen=row.seen,
        saved=row.saved,
        job=row.claim,
        failures=row.failures,
        reason=row.reason,
        adopted=row.adopted,
        user=row.user,
        user_domain=row.user_domain,
        session=SeenSession(user=seen.user, state=CONNECT_STATES[seen.state]) if seen else None,
    )


_Search = Annotated[
    str, Query(max_length=256, description="Part of a desktop's or a user's name, in any case.")
]
_Filter = Annotated[str, Query(max_length=256)]


def parse_query(
    search: _Search = "",
    collection: _Filter = "",
    host: _Filter = "",
    use: Annotated[Use | None, Query()] = None,
) -> DesktopQuery:
    """The query of a list of desktops."""
    return DesktopQuery(collection=collection, host=host, use=use, search=search)


Matching = Annotated[DesktopQuery, Depends(parse_query)]


@router.get("")
@on_hosts
def list_desktops(visitor: Reader, part: Paging, query: Matching) -> Page[Desktop]:
    """Desktops in order of name."""
    with visitor.watch(_CLASS, ENUMERATE):
        return read_page(visitor.backend, part, query)


@router.get("/count")
def count_desktops(visitor: Reader, query: Matching) -> Count:
    """How many desktops meet the conditions."""
    with visitor.watch(_CLASS, ENUMERATE):
        return Count(count=visitor.backend.desktop_list.count(query))


@router.get("/{name}")
@on_hosts
def get_desktop(visitor: Reader, name: Name) -> DesktopDetail:
    """One desktop."""
    with visitor.watch(_CLASS, GET, on={"Name": name}):
        return read_desktop(visitor.backend, name)


@router.post("/{name}/state")
@on_hosts
def change_desktop_state(visitor: Writer, name: Name, change: StateChange) -> DesktopDetail:
    """Start, shut down, save or pause a desktop; returns when that is done."""
    number = _NUMBERS[change.state]
    with visitor.watch(
        _CLASS, "SetVirtualDesktopState", on={"Name": name}, values={"VMState": number}
    ):
        visitor.backend.desktops.set_state(name, number)
    return read_desktop(visitor.backend, name)


@router.post("/{name}/move")
@on_hosts
def move_desktop(visitor: Writer, name: Name, move: Move) -> DesktopDetail:
    """Move a desktop to another host that sees the same disks, while it runs."""
    values = {"DestinationHost": move.host, "VmName": name}
    with visitor.watch("Win32_RDVHManagement", "RdvMigrateVmToDifferentHost", values=values):
        visitor.backend.moving.move(name, move.host)
    return read_desktop(visitor.backend, name)


@router.post("/{name}/move/plan")
@on_hosts
def plan_move(visitor: Reader, name: Name, move: Move) -> JobPlan:
    """What a move would do now, and refuses; nothing changes."""
    with visitor.watch("OpenRDMS_Planner", "PlanMove"):
        return render_plan(visitor.backend.moving.plan(name, move.host))


@router.post("/{name}/release")
@on_hosts
def release_desktop(visitor: Writer, name: Name, release: Release) -> DesktopDetail:
    """Take a desktop back from who has it, or out of quarantine: its pool makes it fresh."""
    backend = visitor.backend
    row = backend.desktop_list.get(name).row
    with visitor.watch(
        "OpenRDMS_Pool",
        "ReleaseDesktop",
        on={"CollectionAlias": row.collection},
        values={"VMName": row.name, "Force": release.force},
    ):
        released = backend.releasing.release(row.name, force=release.force)
        backend.watch.note_collection(released.collection)
    return read_desktop(backend, name)


@router.post("/{name}/release/plan")
@on_hosts
def plan_release(visitor: Reader, name: Name, release: Release) -> JobPlan:
    """What a release would do now, and refuses; nothing changes."""
    with visitor.watch("OpenRDMS_Planner", "PlanRelease"):
        return render_plan(visitor.backend.releasing.plan(name, force=release.force))


@router.put("/{name}/user")
@on_hosts
def assign_desktop(visitor: Writer, name: Name, assignment: UserAssignment) -> DesktopDetail:
    """Give a personal desktop to a user."""
    values = {"UserName": assignment.user, "UserDomain": assignment.domain}
    with (
        renamed(_FIELDS),
        visitor.watch(_CLASS, "SetUserAssignment", on={"Name": name}, values=values),
    ):
        visitor.backend.desktops.assign_user(name, assignment.user, assignment.domain)
    return read_desktop(visitor.backend, name)


@router.delete("/{name}/user", status_code=204)
def unassign_desktop(visitor: Writer, name: Name) -> None:
    """Take a personal desktop from its user."""
    with visitor.watch(_CLASS, "RemoveUserAssignment", values={"VMName": name}):
        visitor.backend.desktops.unassign_user(name)


@router.get(
    "/{name}/screenshot.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The screen."}},
)
@on_hosts
def get_screenshot(visitor: Reader, name: Name) -> Response:
    """What is on the screen now; looking is recorded."""
    row = visitor.backend.desktop_list.get(name).row
    with visitor.watch("OpenRDMS_Display", "Screenshot", on={"VMName": row.name}):
        visitor.backend.display_tickets.check_picture(row.name)
        host = visitor.backend.hosts.get(row.host)
        return Response(host.screenshot(row.name), media_type="image/png")
