"""Records of tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from openrdms.model.task import Task


class TaskStore(Protocol):
    """Tasks (model.task)."""

    def add_task(self, task: Task) -> Task:
        """Keep it; one of that id that is there already is left and returned."""

    def put_task(self, task: Task) -> None:
        """Replace what is kept of it."""

    def find_task(self, task_id: str) -> Task | None: ...
    def list_tasks(self, before: tuple[datetime, str] | None, limit: int) -> list[Task]:
        """The newest first, behind the one that began ``before`` and has that id."""

    def end_tasks(self, error: str, now: datetime) -> None:
        """All that have not ended have failed, and why."""
