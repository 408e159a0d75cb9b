"""Tasks: long work that is no provisioning job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from openrdms.cim.guard import ENUMERATE, GET
from openrdms.frontends.web.api.shapes import Name
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader
from openrdms.model.errors import InvalidParameter
from openrdms.model.task import Task as Record
from openrdms.model.task import TaskProgress, TaskState

router = APIRouter(prefix="/tasks", tags=["tasks"])

_CLASS = "OpenRDMS_Image"


class Task(BaseModel):
    """A task. ``fraction`` and ``words`` say how far it is while it runs."""

    id: str
    kind: str = Field(description="build, import or compare")
    subject: str
    who: str
    state: TaskState
    begun: datetime
    ended: datetime | None
    fraction: float = Field(ge=0, le=1)
    words: str
    error: str
    result: dict[str, Any] | None


def read_page(backend: Backend, part: Part) -> Page[Task]:
    """Tasks, the newest first. InvalidParameter for a cursor of another list."""
    found = backend.tasks.page(_parse_place(part.after), part.limit + 1)
    return part.page(found, lambda one: f"{one[0].begun.isoformat()} {one[0].id}", _render_both)


def render(task: Record, progress: TaskProgress | None = None) -> Task:
    """A task as it is told."""
    done = 1.0 if task.state is TaskState.DONE else 0.0
    return Task(
        id=task.id,
        kind=task.kind,
        subject=task.subject,
        who=task.who,
        state=task.state,
        begun=task.begun,
        ended=task.ended,
        fraction=min(1.0, max(0.0, progress.fraction)) if progress else done,
        words=progress.words if progress else "",
        error=task.error,
        result=None if task.result is None else dict(task.result),
    )


def _render_both(both: tuple[Record, TaskProgress | None]) -> Task:
    return render(*both)


def _parse_place(key: str) -> tuple[datetime, str] | None:
    begun, _, task_id = key.partition(" ")
    try:
        return (datetime.fromisoformat(begun), task_id) if key else None
    except ValueError as error:
        raise InvalidParameter("cursor", "is of another list") from error


@router.get("")
def list_tasks(visitor: Reader, part: Paging) -> Page[Task]:
    """Tasks, the newest first."""
    with visitor.watch(_CLASS, ENUMERATE):
        return read_page(visitor.backend, part)


@router.get("/{task_id}")
def get_task(visitor: Reader, task_id: Name) -> Task:
    """One task."""
    with visitor.watch(_CLASS, GET):
        return render(*visitor.backend.tasks.get(task_id))
