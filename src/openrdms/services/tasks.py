"""Tasks: one at a time, in the order in which they were asked for; on record from the beginning.

What a task makes comes into being as a whole or not at all (services.images), so one that was
interrupted needs no cleaning up; it is told as failed.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.task import INTERRUPTED, Task, TaskProgress, TaskState
from openrdms.services.changes import Changes

Progress = Callable[[float, str], None]
Work = Callable[[Progress], Mapping[str, Any]]
"""Does it, and returns what came of it, in JSON values; raises RdmsError."""

_PACE = 0.5
"""Seconds from one word of progress to the next."""

_log = structlog.get_logger(__name__)


class Tasks:
    """Safe from any thread."""

    def __init__(self, store: ports.TaskStore, changes: Changes, clock: ports.Clock) -> None:
        """What an earlier life of the service did not end has failed."""
        self._store = store
        self._changes = changes
        self._clock = clock
        self._progress: dict[str, TaskProgress] = {}
        self._starting = threading.Lock()
        self._threads = ThreadPoolExecutor(1, "tasks")
        store.end_tasks(INTERRUPTED, clock())

    def start(self, kind: str, subject: str, who: str, work: Work, task_id: str = "") -> Task:
        """Put a task in line; with an id that there is already, it is that one."""
        new = Task(
            id=task_id or uuid.uuid4().hex,
            kind=kind,
            subject=subject,
            who=who,
            state=TaskState.WAITING,
            begun=self._clock(),
        )
        with self._starting:
            known = self._store.find_task(new.id)
            if known is None:
                known = self._store.add_task(new)  # another service may have been first
                if known is new:
                    self._threads.submit(self._run, new, work)
        return known

    def get(self, task_id: str) -> tuple[Task, TaskProgress | None]:
        """A task, and how far it is while it runs. NotFound."""
        task = self._store.find_task(task_id)
        if task is None:
            raise errors.NotFound(f"there is no task {task_id!r}")
        return task, self._progress.get(task_id)

    def page(
        self, before: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[Task, TaskProgress | None]]:
        """See ports.TaskStore.list_tasks."""
        found = self._store.list_tasks(before, limit)
        return [(task, self._progress.get(task.id)) for task in found]

    def _run(self, task: Task, work: Work) -> None:
        running = replace(task, state=TaskState.RUNNING)
        self._store.put_task(running)
        try:
            result = work(self._follow(task.id))
            ended = replace(running, state=TaskState.DONE, result=result)
        except errors.RdmsError as error:
            ended = replace(running, state=TaskState.FAILED, error=str(error))
        except Exception as error:  # noqa: BLE001  those behind it in line must come to their turn
            _log.exception("defect", task=task.id)
            ended = replace(running, state=TaskState.FAILED, error=repr(error))
        finally:
            self._progress.pop(task.id, None)
        self._store.put_task(replace(ended, ended=self._clock()))

    def _follow(self, task_id: str) -> Progress:
        told = 0.0

        def tell(fraction: float, words: str) -> None:
            nonlocal told
            self._progress[task_id] = TaskProgress(fraction, words)
            if time.monotonic() - told > _PACE:
                told = time.monotonic()
                self._changes.publish(Kind.TASK, [task_id])

        return tell
