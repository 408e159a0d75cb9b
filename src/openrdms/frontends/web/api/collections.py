"""Collections of virtual desktops: what they are, who may use them, their pools and updates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from openrdms.cim.guard import CREATE, DELETE, ENUMERATE, GET, MODIFY
from openrdms.frontends.web.api.job_documents import FIELDS as JOB_FIELDS
from openrdms.frontends.web.api.job_documents import JobRequest, render_request
from openrdms.frontends.web.api.plans import JobPlan, render_plan
from openrdms.frontends.web.api.shapes import Input, Line, Moment, Name, example
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.idempotency import IdempotentRoute
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader, Writer
from openrdms.model import errors
from openrdms.model.collection import Collection as Record
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import Use

router = APIRouter(prefix="/collections", tags=["collections"], route_class=IdempotentRoute)

_CLASS = "Win32_RDMSVirtualDesktopCollection"
_POOL = "OpenRDMS_Pool"
_FIELDS = {
    "Alias": "alias",
    "Name": "name",
    "Type": "type",
    "IsManaged": "managed",
    "IsUserAdmin": "is_user_admin",
    "SecurityDescriptor": "security_descriptor",
    "VmFarmSettings": "vm_farm_settings",
    "UserVHDSetting": "user_vhd_setting",
    "ShowInPortal": "show_in_portal",
    "VMName": "name",
    "Key": "key",
    "Value": "value",
    "StartTime": "start",
    "ForceLogOffTime": "force_log_off",
}


class Type(StrEnum):
    """Pooled desktops are fresh for everybody; personal ones belong to somebody, who is named by an
    administrator (manual) or comes first (auto).
    """

    POOLED = "pooled"
    MANUAL_PERSONAL = "personal"
    AUTO_PERSONAL = "personal-auto"


_TYPES = {Type[kind.name]: kind for kind in CollectionType}


class State(StrEnum):
    """What its latest job is up to, or how it ended."""

    UNKNOWN = "idle"
    POOL_CREATED = "created"
    CREATE_VIRTUAL_DESKTOP_INPROGRESS = "creating"
    ADD_VIRTUAL_DESKTOP_INPROGRESS = "adding"
    UPDATE_VIRTUAL_DESKTOP_INPROGRESS = "updating"
    DELETE_VIRTUAL_DESKTOP_INPROGRESS = "deleting"
    UPDATE_SCHEDULED = "update-scheduled"
    UPDATE_FAILED = "update-failed"
    UPDATE_CANCELLED = "update-cancelled"
    JOB_COMPLETED = "completed"
    CANCEL_INPROGRESS = "cancelling"
    JOB_ABORTED = "aborted"


class UseCounts(BaseModel):
    """Desktops by what may be done with them."""

    unready: int = 0
    preparing: int = 0
    ready: int = 0
    taken: int = 0
    work: int = 0
    quarantined: int = 0


class Collection(BaseModel):
    """A collection. ``image`` is what its desktops are made of, "" before its first job; ``job``
    its latest; ``waiting`` how many users wait for a desktop; ``stopped`` why its pool prepares
    none.
    """

    alias: str
    name: str
    type: Type
    managed: bool
    description: str | None
    show_in_portal: bool
    rollback_enabled: bool
    is_user_admin: bool
    state: State
    job: str
    image: str
    desktops: int
    uses: UseCounts
    waiting: int
    stopped: str


class CollectionDetail(Collection):
    """What only an administrator cares about besides."""

    name_prefix: str
    security_descriptor: str | None
    vm_farm_settings: str | None
    user_vhd_setting: str | None


class NewCollection(Input):
    """A collection to be made. Who may use it is said by ``allowed``, names of groups and accounts,
    or by a ``security_descriptor`` (SDDL); without either it is for administrators only.
    """

    model_config = example(alias="pool", name="Office", type="pooled", allowed=["staff"])

    alias: Name
    name: Annotated[Line, Field(description="As users see it; the alias if left out.")] = ""
    type: Annotated[Type, Field(strict=False)] = Type.POOLED
    managed: Annotated[bool, Field(description="True: desktops are made by jobs.")] = True
    description: Annotated[str | None, Field(max_length=4096)] = None
    allowed: Annotated[list[Name] | None, Field(max_length=1000)] = None
    security_descriptor: Annotated[str | None, Field(max_length=65_536)] = None
    show_in_portal: bool = True
    rollback_enabled: bool = True
    is_user_admin: bool = False


class CollectionChange(Input):
    """What is left out stays as it is."""

    name: Line | None = None
    type: Annotated[Type | None, Field(strict=False)] = None
    description: Annotated[str | None, Field(max_length=4096)] = None
    allowed: Annotated[list[Name] | None, Field(max_length=1000)] = None
    security_descriptor: Annotated[str | None, Field(max_length=65_536)] = None
    vm_farm_settings: Annotated[str | None, Field(max_length=262_144)] = None
    user_vhd_setting: Annotated[str | None, Field(max_length=262_144)] = None
    show_in_portal: bool | None = None
    rollback_enabled: bool | None = None
    is_user_admin: bool | None = None


class AccessEntry(BaseModel):
    """What its descriptor says of somebody; ``name`` is "" for a SID that is not known here."""

    allow: bool
    sid: str
    name: str


class AccessEntries(BaseModel):
    """In the order that decides."""

    items: list[AccessEntry]


class Spares(BaseModel):
    """Desktops on a host that are ready for anybody."""

    host: str
    running: int
    saved: int


class Pool(BaseModel):
    """What keeps desktops ready. ``failures`` counts those in a row; ``stopped`` says why none is
    prepared; ``seconds`` is what a preparation usually takes.
    """

    waiting: int
    failures: int
    stopped: str
    seconds: float | None
    spares: list[Spares]


class Property(BaseModel):
    """A property of a collection (Get…Property); null when it was never set."""

    key: str
    value: int | str | None


class PropertyChange(Input):
    """A number or a text, as the key has it."""

    value: Annotated[int, Field(ge=-(2**31), lt=2**31)] | Annotated[str, Field(max_length=65_536)]


class Update(BaseModel):
    """The last update that was scheduled; its job has the GUID."""

    start: datetime
    force_log_off: datetime
    job: str
    state: str
    error: str


class NewUpdate(Input):
    """An update at a time; users may stay until ``force_log_off``, and are told before."""

    start: Moment
    force_log_off: Moment
    job: JobRequest


def read_page(backend: Backend, part: Part, search: str = "") -> Page[Collection]:
    """Collections in order of alias."""
    text = search.casefold()
    found = [
        one
        for one in backend.collections.list_collections()
        if text in one.alias.casefold() or text in one.name.casefold()
    ]
    uses = _tally(backend)
    return part.cut(
        found,
        lambda one: one.alias.casefold(),
        lambda one: Collection(**_facts(backend, one, uses[one.alias.casefold()])),
    )


def read_collection(backend: Backend, alias: str) -> CollectionDetail:
    """One collection. NotFound."""
    record = backend.collections.get(alias)
    uses = backend.uses.count(record.alias)
    settings = backend.collections.find_provisioning(record.alias)
    return CollectionDetail(
        **_facts(backend, record, uses),
        name_prefix=settings.name_prefix if settings else "",
        security_descriptor=record.security_descriptor,
        vm_farm_settings=record.vm_farm_settings,
        user_vhd_setting=record.user_vhd_setting,
    )


def read_pool(backend: Backend, alias: str) -> Pool:
    """What keeps desktops of a collection ready. NotFound."""
    record = backend.collections.get(alias)
    pools = backend.pools
    breaker = pools.breaker(record.alias)
    return Pool(
        waiting=pools.waiting(record.alias),
        failures=breaker.failures,
        stopped=breaker.reason if breaker.opened else "",
        seconds=pools.seconds(record.alias),
        spares=[
            Spares(host=host, running=running, saved=saved)
            for host, (running, saved) in pools.count_spares(record.alias).items()
        ],
    )


def _tally(backend: Backend) -> Mapping[str, Counter[Use]]:
    uses: defaultdict[str, Counter[Use]] = defaultdict(Counter)
    for one in backend.desktop_list.tally():
        uses[one.collection.casefold()][one.use] += one.desktops
    return uses


def _facts(backend: Backend, record: Record, uses: Mapping[Use, int]) -> dict[str, Any]:
    settings = backend.collections.find_provisioning(record.alias)
    return {
        "alias": record.alias,
        "name": record.name,
        "type": Type[record.type.name],
        "managed": record.is_managed,
        "description": record.description,
        "show_in_portal": record.show_in_portal,
        "rollback_enabled": record.rollback_enabled,
        "is_user_admin": record.is_user_admin,
        "state": State[record.state.name],
        "job": record.job_guid,
        "image": settings.image if settings else "",
        "desktops": sum(uses.values()),
        "uses": UseCounts(**{use.value: count for use, count in uses.items()}),
        "waiting": backend.pools.waiting(record.alias),
        "stopped": backend.pools.stopped(record.alias),
    }


def _read_changes(backend: Backend, change: NewCollection | CollectionChange) -> dict[str, Any]:
    """Fields of the record, of what was given. InvalidParameter, NotFound for whom to allow."""
    given = change.model_dump(include=change.model_fields_set)
    allowed = given.pop("allowed", None)
    if allowed is not None:
        if given.get("security_descriptor") is not None:
            raise errors.InvalidParameter("allowed", "and security_descriptor exclude each other")
        given["security_descriptor"] = backend.access.make_descriptor(allowed)
    for name in ("name", "type", "show_in_portal", "rollback_enabled", "is_user_admin"):
        if name in given and given[name] is None:
            raise errors.InvalidParameter(name, "cannot be null")
    if "type" in given:
        given["type"] = _TYPES[given["type"]]
    return given


@router.get("")
def list_collections(
    visitor: Reader, part: Paging, search: Annotated[str, Query(max_length=256)] = ""
) -> Page[Collection]:
    """Collections in order of alias, with counts of their desktops."""
    with visitor.watch(_CLASS, ENUMERATE):
        return read_page(visitor.backend, part, search)


@router.post("", status_code=201)
def create_collection(visitor: Writer, new: NewCollection, response: Response) -> CollectionDetail:
    """Make a collection, without desktops: a job makes those."""
    with (
        renamed(_FIELDS),
        visitor.watch(
            _CLASS, CREATE, on={"Alias": new.alias}, values={"Name": new.name or new.alias}
        ),
    ):
        given = {"type": CollectionType.POOLED} | _read_changes(visitor.backend, new)
        given["name"] = new.name or new.alias
        given["is_managed"] = given.pop("managed", True)
        visitor.backend.collections.create(Record(**given))
    response.headers["location"] = f"/api/v1/collections/{new.alias}"
    return read_collection(visitor.backend, new.alias)


@router.get("/{alias}")
def get_collection(visitor: Reader, alias: Name) -> CollectionDetail:
    """One collection."""
    with visitor.watch(_CLASS, GET, on={"Alias": alias}):
        return read_collection(visitor.backend, alias)


@router.patch("/{alias}")
def change_collection(visitor: Writer, alias: Name, change: CollectionChange) -> CollectionDetail:
    """Change what is given."""
    with (
        renamed(_FIELDS),
        visitor.watch(_CLASS, MODIFY, on={"Alias": alias}, values={"Name": change.name}),
    ):
        visitor.backend.collections.modify(alias, **_read_changes(visitor.backend, change))
    return read_collection(visitor.backend, alias)


@router.delete("/{alias}", status_code=204)
def delete_collection(visitor: Writer, alias: Name) -> None:
    """Remove a collection that has no desktops of its own making left."""
    with visitor.watch(_CLASS, DELETE, on={"Alias": alias}):
        visitor.backend.collections.delete(alias)


@router.post("/{alias}/removal/plan")
@on_hosts
def plan_collection_removal(visitor: Reader, alias: Name) -> JobPlan:
    """What removing it would do now, and refuses; nothing changes."""
    with visitor.watch("OpenRDMS_Planner", "PlanDeletion"):
        return render_plan(visitor.backend.collections.plan_deletion(alias))


@router.put("/{alias}/desktops/{name}", status_code=204)
@on_hosts
def add_desktop(visitor: Writer, alias: Name, name: Name) -> None:
    """Make a VM a member."""
    with (
        renamed(_FIELDS),
        visitor.watch(_CLASS, "AddVirtualDesktop", on={"Alias": alias}, values={"VMName": name}),
    ):
        visitor.backend.collections.add_virtual_desktop(alias, name)


@router.delete("/{alias}/desktops/{name}", status_code=204)
@on_hosts
def remove_desktop(visitor: Writer, alias: Name, name: Name) -> None:
    """Take membership from a VM, and nothing else."""
    with (
        renamed(_FIELDS),
        visitor.watch(_CLASS, "RemoveVirtualDesktop", on={"Alias": alias}, values={"VMName": name}),
    ):
        visitor.backend.collections.remove_virtual_desktop(alias, name)


@router.get("/{alias}/entries")
def list_entries(visitor: Reader, alias: Name) -> AccessEntries:
    """Who may use it, by its descriptor."""
    with visitor.watch(_CLASS, GET, on={"Alias": alias}):
        found = visitor.backend.access.list_entries(alias)
        return AccessEntries(items=[AccessEntry(**vars(entry)) for entry in found])


@router.get("/{alias}/pool")
def get_pool(visitor: Reader, alias: Name) -> Pool:
    """What keeps its desktops ready."""
    with visitor.watch(_POOL, GET, on={"CollectionAlias": alias}):
        return read_pool(visitor.backend, alias)


@router.post("/{alias}/pool/reset")
def reset_pool(visitor: Writer, alias: Name) -> Pool:
    """Have it prepare desktops again after failures stopped it."""
    found = visitor.backend.collections.get(alias)
    with visitor.watch(_POOL, "ResetBreaker", on={"CollectionAlias": found.alias}):
        visitor.backend.pools.reset_breaker(found.alias)
    return read_pool(visitor.backend, alias)


@router.get("/{alias}/properties/{key}")
def get_property(visitor: Reader, alias: Name, key: Name) -> Property:
    """A property by its key, such as MaxMonitors or CustomRdpProperty."""
    with renamed(_FIELDS), visitor.watch(_CLASS, "GetStringProperty", on={"Alias": alias}):
        return Property(key=key, value=visitor.backend.collections.find_property(alias, key))


@router.put("/{alias}/properties/{key}")
def set_property(visitor: Writer, alias: Name, key: Name, change: PropertyChange) -> Property:
    """Set a property."""
    method = "SetInt32Property" if isinstance(change.value, int) else "SetStringProperty"
    with (
        renamed(_FIELDS),
        visitor.watch(_CLASS, method, on={"Alias": alias}, values={"Key": key}),
    ):
        visitor.backend.collections.set_property(alias, key, change.value)
    return Property(key=key, value=change.value)


@router.get("/{alias}/update")
def get_update(visitor: Reader, alias: Name) -> Update:
    """The last update that was scheduled."""
    with visitor.watch(_CLASS, "GetPatchProperties", on={"Alias": alias}):
        return _read_update(visitor.backend, alias)


@router.post("/{alias}/update", status_code=202)
@on_hosts
def schedule_update(visitor: Writer, alias: Name, new: NewUpdate) -> Update:
    """Have a patch begin at a time."""
    times = {"StartTime": new.start, "ForceLogOffTime": new.force_log_off}
    with (
        renamed({**JOB_FIELDS, **_FIELDS}),
        visitor.watch(_CLASS, "SchedulePatch", on={"Alias": alias}, values=times),
    ):
        document = render_request(new.job)
        visitor.backend.patching.schedule(alias, new.start, new.force_log_off, document)
    return _read_update(visitor.backend, alias)


@router.post("/{alias}/update/plan")
@on_hosts
def plan_update(visitor: Reader, alias: Name, new: NewUpdate) -> JobPlan:
    """What a patch would do if it began now; nothing changes."""
    with renamed({**JOB_FIELDS, **_FIELDS}), visitor.watch("OpenRDMS_Planner", "PlanPatch"):
        document = render_request(new.job)
        plan = visitor.backend.patching.plan(alias, new.start, new.force_log_off, document)
    return render_plan(plan)


@router.delete("/{alias}/update", status_code=204)
def cancel_update(visitor: Writer, alias: Name) -> None:
    """Cancel an update, whether it waits for its time or is under way."""
    with visitor.watch(_CLASS, "CancelPatch", on={"Alias": alias}):
        visitor.backend.patching.cancel(alias)


def _read_update(backend: Backend, alias: str) -> Update:
    patch = backend.patching.find(alias)
    if patch is None:
        raise errors.NotFound(f"collection {alias!r} was never updated")
    return Update(
        start=patch.start,
        force_log_off=patch.force_log_off,
        job=patch.guid,
        state=patch.state.name.lower().replace("_", "-"),
        error=patch.error,
    )
