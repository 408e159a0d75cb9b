"""Images: their versions, what is being made of them, and what differs between two."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.api.images import Variant, read_page
from openrdms.frontends.web.api.tasks import Task, render
from openrdms.frontends.web.api.tasks import read_page as read_tasks
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.paging import MOST, Part
from openrdms.frontends.web.visitors import Reader, Visitor

CLASS = "OpenRDMS_Image"
_LATEST_TASKS = 8
_MOST_LINES = 500
"""Of the packages, and of the files, that differ."""

router = APIRouter(prefix=PREFIX)


@router.get("/images")
def list_images(request: Request, visitor: Reader) -> Response:
    """All versions, the newest of each first, and the latest tasks."""
    position = visitor.backend.changes.position
    with visitor.watch(CLASS, guard.ENUMERATE):
        images = read_page(visitor.backend, Part(MOST)).items
        tasks = read_tasks(visitor.backend, Part(_LATEST_TASKS)).items
    return show(
        request,
        visitor,
        "images.html",
        position=position,
        images=sorted(images, key=lambda one: (one.name.casefold(), -one.version)),
        tasks=tasks,
        variants=list(Variant),
    )


@router.get("/tasks/{task_id}")
def show_task(request: Request, visitor: Reader, task_id: str) -> Response:
    """One task, and what came of it."""
    position = visitor.backend.changes.position
    return show(
        request,
        visitor,
        "task.html",
        position=position,
        below=f"{PREFIX}/images",
        task=_read_task(visitor, task_id),
        most=_MOST_LINES,
    )


def _read_task(visitor: Visitor, task_id: str) -> Task:
    with visitor.watch(CLASS, guard.GET):
        return render(*visitor.backend.tasks.get(task_id))
