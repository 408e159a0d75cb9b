"""What jobs and other changes would do, as clients are told."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel

from openrdms.model.plan import Plan


class PlannedKind(StrEnum):
    """Jobs, and what else is planned; remove is that of a collection."""

    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    PREP = "prep"
    MOVE = "move"
    RELEASE = "release"
    DRAIN = "drain"
    REMOVE = "remove"


class PlannedHost(BaseModel):
    """What a host would get, in desktops and in bytes."""

    name: str
    desktops: int
    bytes_at_first: int
    bytes_at_most: int
    free_bytes: int
    memory_mib: int
    copy_bytes: int


class PlannedDesktop(BaseModel):
    """Where a desktop would be and why, whom that logs off, and whose logoff it waits for. ``wave``
    is of an update, counted from 1; 0 in what has none.
    """

    name: str
    host: str
    code: str
    logs_off: str
    waits_for: str
    wave: int
    note: str


class JobPlan(BaseModel):
    """What would become of a job, or of another change, now; nothing has changed. ``refusal`` says
    why a job would not be accepted, and there is nothing else then.
    """

    collection: str
    action: PlannedKind
    image: str
    refusal: str
    code: str
    seconds: int | None
    basis: str
    warnings: list[str]
    hosts: list[PlannedHost]
    desktops: list[PlannedDesktop]


def render_plan(plan: Plan) -> JobPlan:
    """A plan of the core."""
    return JobPlan(
        collection=plan.collection,
        action=PlannedKind(plan.action.lower()),
        image=plan.image,
        refusal=plan.refusal,
        code=plan.reason,
        seconds=plan.seconds,
        basis=plan.basis,
        warnings=list(plan.warnings),
        hosts=[PlannedHost(**vars(host)) for host in plan.hosts],
        desktops=[
            PlannedDesktop(
                name=one.name,
                host=one.host,
                code=one.reason,
                logs_off=one.user,
                waits_for=one.awaited,
                wave=one.wave,
                note=one.note,
            )
            for one in plan.desktops
        ],
    )
