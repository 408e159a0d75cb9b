"""Tasks: in line, on record, and told as they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import StoppedClock
from live.service import until
from openrdms.adapters import sql
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.task import INTERRUPTED, Task, TaskState
from openrdms.ports import Store
from openrdms.services.changes import Changes
from openrdms.services.tasks import Progress, Tasks


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = sql.open_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
    yield store
    store.close()


def await_end(tasks: Tasks, task: Task) -> Task:
    return until("the task ends", lambda: _if_ended(tasks.get(task.id)[0]))


def _if_ended(task: Task) -> Task | None:
    return task if task.ended else None


def test_one_after_the_other(store: Store) -> None:
    tasks = Tasks(store, Changes(), StoppedClock())
    go_on, order = threading.Event(), list[str]()

    def wait(progress: Progress) -> Mapping[str, Any]:
        progress(0.5, "half")
        go_on.wait(30)
        order.append("first")
        return {"made": "x"}

    def follow(_: Progress) -> Mapping[str, Any]:
        order.append("second")
        return {}

    first = tasks.start("build", "x", "admin", wait)
    second = tasks.start("build", "y", "admin", follow)
    until("it tells how far it is", lambda: tasks.get(first.id)[1])
    assert tasks.get(second.id)[0].state is TaskState.WAITING
    go_on.set()
    assert await_end(tasks, second).state is TaskState.DONE
    assert order == ["first", "second"]
    assert tasks.get(first.id)[0].result == {"made": "x"}
    assert tasks.get(first.id)[1] is None


@pytest.mark.parametrize(
    ("error", "words"),
    [(errors.OutOfSpace("too little"), "too little"), (ValueError("x"), "ValueError('x')")],
)
def test_what_fails_says_why_and_holds_up_nobody(
    store: Store, error: Exception, words: str
) -> None:
    tasks = Tasks(store, Changes(), StoppedClock())

    def fail(_: Progress) -> Mapping[str, Any]:
        raise error

    failed = await_end(tasks, tasks.start("build", "x", "admin", fail))
    assert (failed.state, failed.error) == (TaskState.FAILED, words)
    done = tasks.start("build", "x", "admin", lambda _: {})
    assert await_end(tasks, done).state is TaskState.DONE


def test_an_id_that_comes_again_is_the_same_task(store: Store) -> None:
    tasks = Tasks(store, Changes(), StoppedClock())
    times: list[int] = []

    def count(_: Progress) -> Mapping[str, Any]:
        times.append(1)
        return {}

    await_end(tasks, tasks.start("build", "x", "admin", count, "id"))
    assert tasks.start("build", "x", "admin", count, "id").state is TaskState.DONE
    await_end(tasks, tasks.start("build", "y", "admin", count))
    assert len(times) == 2


def test_what_another_life_did_not_end_has_failed(store: Store) -> None:
    clock = StoppedClock()
    store.add_task(Task("id", "build", "x", "admin", TaskState.RUNNING, clock.now))
    task, _ = Tasks(store, Changes(), clock).get("id")
    assert (task.state, task.error) == (TaskState.FAILED, INTERRUPTED)


def test_how_far_it_is_is_published(store: Store) -> None:
    changes = Changes()
    tasks = Tasks(store, changes, StoppedClock())
    before = changes.position

    def tell(progress: Progress) -> Mapping[str, Any]:
        progress(0.1, "begun")
        return {}

    task = await_end(tasks, tasks.start("build", "x", "admin", tell))
    assert (Kind.TASK, task.id) in [(one.kind, one.key) for one in changes.since(before) or ()]


def test_what_is_not_there(store: Store) -> None:
    with pytest.raises(errors.NotFound):
        Tasks(store, Changes(), StoppedClock()).get("nothing")
