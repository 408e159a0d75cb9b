"""Tasks."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database, note_change
from openrdms.model.change import Kind
from openrdms.model.task import Task, TaskState

tasks = sa.Table(
    "tasks",
    schema.metadata,
    schema.text_column("id", key=True),
    schema.text_column("kind"),
    schema.text_column("subject"),
    schema.text_column("who"),
    schema.member_column("state", TaskState),
    schema.time_column("begun"),
    schema.time_column("ended", null=True),
    schema.text_column("error"),
    sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
    schema.service_column(),
    sa.Index("tasks_begun", "begun", "id"),
)


class TaskRecords:
    """The part of ports.Store about them."""

    _database: Database

    def add_task(self, task: Task) -> Task:
        with self._database.write() as connection:
            found = _find(connection, task.id)
            if found is None:
                _put(connection, task, self._database.service)
            return found or task

    def put_task(self, task: Task) -> None:
        with self._database.write() as connection:
            _put(connection, task, self._database.service)

    def find_task(self, task_id: str) -> Task | None:
        with self._database.read() as connection:
            return _find(connection, task_id)

    def list_tasks(self, before: tuple[datetime, str] | None, limit: int) -> list[Task]:
        wanted = rows.query_records(Task, tasks).order_by(tasks.c.begun.desc(), tasks.c.id.desc())
        if before:
            same = sa.and_(tasks.c.begun == before[0], tasks.c.id < before[1])
            wanted = wanted.where(sa.or_(tasks.c.begun < before[0], same))
        with self._database.read() as connection:
            return [Task(*row) for row in connection.execute(wanted.limit(limit))]

    def end_tasks(self, error: str, now: datetime) -> None:
        failed = {"state": TaskState.FAILED, "error": error, "ended": now}
        left = (tasks.c.ended.is_(None), self._database.is_left(tasks.c.service))
        with self._database.write() as connection:
            ended = sa.update(tasks).where(*left).values(failed).returning(tasks.c.id)
            note_change(connection, Kind.TASK, *connection.scalars(ended))


def _find(connection: sa.Connection, task_id: str) -> Task | None:
    return rows.find_record(connection, Task, tasks, tasks.c.id == task_id)


def _put(connection: sa.Connection, task: Task, service: str) -> None:
    rows.put_rows(connection, tasks, [rows.render_row(task, service=service)])
    note_change(connection, Kind.TASK, task.id)
