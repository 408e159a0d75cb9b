"""Provisioning jobs: planned, accepted, watched, cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from openrdms.frontends.web.api.job_documents import FIELDS, JobRequest, render_request
from openrdms.frontends.web.api.plans import JobPlan, render_plan
from openrdms.frontends.web.api.shapes import Name
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.idempotency import IdempotencyKey, IdempotentRoute, name_job
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader, Writer
from openrdms.model.collection import CollectionState
from openrdms.model.errors import InvalidParameter
from openrdms.model.job import Job as JobRecord
from openrdms.model.job import JobAction, JobDesktop, VmStatus
from openrdms.model.job_list import JobPlace, JobQuery, JobRow
from openrdms.model.reason import PLACED, Wait, parse_reason
from openrdms.services.job_list import ListedJob

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=IdempotentRoute)

_CLASS = "Win32_RDMSVirtualDesktopCollection"


class JobState(StrEnum):
    """Scheduled jobs begin at their time; the last three are ends."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class DesktopStatus(StrEnum):
    """How far a desktop of a job is."""

    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobKind(StrEnum):
    """What jobs do; prep seals a VM as an image."""

    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    PREP = "prep"


class Job(BaseModel):
    """A job and how far it is. ``code`` and ``error`` say why it failed as a whole."""

    guid: str
    collection: str
    action: JobKind
    state: JobState
    started: datetime
    modified: datetime
    ended: datetime | None
    desktops: int
    succeeded: int
    failed: int
    percent: Annotated[int, Field(ge=0, le=100)]
    code: str
    error: str


class JobDetail(Job):
    """``expected_end`` is null when there is no telling. ``note`` says which other service
    runs it, if that one has not told.
    """

    expected_end: datetime | None
    note: str


class JobDesktopView(BaseModel):
    """A desktop of a job. ``code`` and ``reason`` say what it waits for, else why it has failed or
    is where it is; ``position`` is in the line, ``seconds`` how long it will still wait.
    """

    ordinal: int
    name: str
    host: str
    status: DesktopStatus
    phase: str = Field(description="The last one that is done.")
    wave: int
    error: str
    undone: list[str]
    note: str
    code: str
    reason: str
    position: int | None
    seconds: int | None


class JobAccepted(BaseModel):
    """The job's GUID; it is on record and goes on whatever happens to the service."""

    guid: str


_ENDS = {
    CollectionState.JOB_COMPLETED: JobState.COMPLETED,
    CollectionState.UPDATE_CANCELLED: JobState.CANCELLED,
    CollectionState.UPDATE_FAILED: JobState.FAILED,
}


def read_page(backend: Backend, part: Part, query: JobQuery) -> Page[Job]:
    """Jobs that meet a query, the newest first. InvalidParameter for a cursor of another list."""
    found = backend.jobs.page(query, _parse_place(part.after), part.limit + 1)
    return part.page(found, lambda one: _render_place(one.row.place), _render)


def read_job(backend: Backend, guid: str) -> JobDetail:
    """One job, or what is scheduled to become one. NotFound, InvalidParameter."""
    job = backend.provisioning.get_job(guid)
    row = _as_row(job)
    listed = _render(ListedJob(row, backend.jobs.find_progress(row)))
    report = None if job.ended else backend.provisioning.find_report(job.guid)
    end, note = (report.end, report.note) if report else (None, "")
    return JobDetail(**listed.model_dump(), expected_end=end, note=note)


def read_desktops(
    backend: Backend, guid: str, part: Part, status: VmStatus | None = None
) -> Page[JobDesktopView]:
    """Desktops of a job, in the order in which they are made. NotFound, InvalidParameter."""
    job = backend.provisioning.get_job(guid)
    waits = backend.provisioning.list_waits(job.guid)
    after = _parse_ordinal(part.after)
    found = backend.jobs.page_desktops(job.guid, after, part.limit + 1, status)
    return part.page(found, lambda one: str(one.ordinal), lambda one: _describe(job, one, waits))


def read_plan(backend: Backend, document: str, *, new: bool, patient: bool) -> JobPlan:
    """What a document would do now."""
    return render_plan(backend.provisioning.find_plan(document, new=new, patient=patient))


def _as_row(job: JobRecord) -> JobRow:
    return JobRow(*(getattr(job, name) for name in JobRow._fields))


def _render(listed: ListedJob) -> Job:
    row, progress = listed
    code, error = parse_reason(row.error)
    return Job(
        guid=row.guid,
        collection=row.collection,
        action=JobKind(row.action.lower()),
        state=_state_of(row),
        started=row.started,
        modified=row.modified,
        ended=row.ended,
        desktops=progress.desktops,
        succeeded=progress.succeeded,
        failed=progress.failed,
        percent=progress.percent,
        code=code,
        error=error,
    )


def _state_of(row: JobRow) -> JobState:
    if row.state is CollectionState.UPDATE_SCHEDULED:
        return JobState.SCHEDULED
    if row.ended is None:
        return JobState.CANCELLING if row.cancel_requested else JobState.RUNNING
    if row.state in _ENDS:
        return _ENDS[row.state]
    return JobState.CANCELLED if row.cancel_requested else JobState.FAILED


def _describe(job: JobRecord, row: JobDesktop, waits: Mapping[int, Wait]) -> JobDesktopView:
    wait = waits.get(row.ordinal)
    return JobDesktopView(
        ordinal=row.ordinal,
        name=str(job.options.get("vm", row.name)),
        host=row.host,
        status=DesktopStatus[row.status.name],
        phase=row.done or "",
        wave=row.wave,
        error=row.error,
        undone=list(row.undone),
        note=row.notes,
        code=wait.code if wait else row.reason,
        reason=wait.words if wait else PLACED.get(row.reason, ""),
        position=wait.position if wait else None,
        seconds=round(wait.seconds) if wait and wait.seconds is not None else None,
    )


def _render_place(place: JobPlace) -> str:
    return f"{place.started.isoformat()} {place.guid}"


def _parse_place(key: str) -> JobPlace | None:
    started, _, guid = key.partition(" ")
    try:
        return JobPlace(datetime.fromisoformat(started), guid) if key else None
    except ValueError as error:
        raise InvalidParameter("cursor", "is of another list") from error


def _parse_ordinal(key: str) -> int:
    if not key:
        return -1
    if not key.isdecimal() or len(key) > 9:
        raise InvalidParameter("cursor", "is of another list")
    return int(key)


def parse_query(
    running: Annotated[bool | None, Query(description="Only those under way, or ended.")] = None,
    collection: Annotated[str, Query(max_length=256)] = "",
    action: JobKind | None = None,
) -> JobQuery:
    """The query of a list of jobs."""
    chosen = JobAction(action.capitalize()) if action else None
    return JobQuery(running=running, collection=collection, action=chosen)


@router.get("")
def list_jobs(
    visitor: Reader, part: Paging, query: Annotated[JobQuery, Depends(parse_query)]
) -> Page[Job]:
    """Jobs, the newest first."""
    with visitor.watch(_CLASS, "ProvisioningEnumerateJobs"):
        return read_page(visitor.backend, part, query)


@router.post("", status_code=202)
@on_hosts
def create_job(
    visitor: Writer, request: JobRequest, response: Response, idempotency_key: IdempotencyKey = None
) -> JobAccepted:
    """Accept a job and begin it. Its progress is a resource of its own."""
    with (
        renamed(FIELDS),
        visitor.watch(_CLASS, "ProvisioningJobExecute", values={"JobInputXml": "…"}),
    ):
        named = name_job(visitor, idempotency_key) if idempotency_key else None
        guid = visitor.backend.provisioning.execute(render_request(request), named)
    response.headers["location"] = f"/api/v1/jobs/{guid.strip('{}')}"
    return JobAccepted(guid=guid)


@router.post("/plan")
@on_hosts
def plan_job(
    visitor: Reader,
    request: JobRequest,
    *,
    new: Annotated[bool, Query(description="As if its collection were made before.")] = False,
    patient: Annotated[bool, Query(description="As an update that logs nobody off.")] = False,
) -> JobPlan:
    """What a job would do now; nothing changes."""
    with renamed(FIELDS), visitor.watch("OpenRDMS_Planner", "Plan"):
        document = render_request(request)
        return read_plan(visitor.backend, document, new=new, patient=patient)


@router.get("/{guid}")
def get_job(visitor: Reader, guid: Name) -> JobDetail:
    """One job."""
    with renamed({"JobGuid": "guid"}), visitor.watch(_CLASS, "ProvisioningJobGetReport"):
        return read_job(visitor.backend, guid)


@router.get("/{guid}/desktops")
def list_job_desktops(
    visitor: Reader, guid: Name, part: Paging, status: DesktopStatus | None = None
) -> Page[JobDesktopView]:
    """What becomes of each of its desktops."""
    chosen = VmStatus[status.name] if status else None
    with renamed({"JobGuid": "guid"}), visitor.watch(_CLASS, "ProvisioningJobGetReport"):
        return read_desktops(visitor.backend, guid, part, chosen)


@router.post("/{guid}/cancel", status_code=202)
def cancel_job(visitor: Writer, guid: Name) -> JobDetail:
    """Begin nothing more and take back what was made; repeating it is fine."""
    with (
        renamed({"JobGuid": "guid"}),
        visitor.watch(_CLASS, "ProvisioningJobCancel", values={"JobGuid": guid}),
    ):
        visitor.backend.provisioning.cancel(guid)
    return read_job(visitor.backend, guid)
