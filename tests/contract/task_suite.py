"""What every store promises of tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from openrdms.model.task import Task, TaskState
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_task(task_id: str, begun: datetime = NOW) -> Task:
    return Task(task_id, "build", "tiny", "admin", TaskState.WAITING, begun)


class TaskSuite:
    """Adapters give ``store``."""

    def test_a_task_from_beginning_to_end(self, store: Store) -> None:
        task = make_task("one")
        assert store.add_task(task) == task
        done = replace(task, state=TaskState.DONE, ended=NOW, result={"image": "tiny@1"})
        store.put_task(done)
        assert store.find_task("one") == done
        assert store.find_task("two") is None

    def test_one_of_the_same_id_is_the_one_before(self, store: Store) -> None:
        first = store.add_task(make_task("one"))
        assert store.add_task(replace(first, subject="other")) == first

    def test_pages_from_the_newest(self, store: Store) -> None:
        for number in range(5):
            store.add_task(make_task(f"{number}", NOW + timedelta(seconds=number // 2)))
        page = store.list_tasks(None, 2)
        seen = [task.id for task in page]
        while page:
            page = store.list_tasks((page[-1].begun, page[-1].id), 2)
            seen += [task.id for task in page]
        assert seen == ["4", "3", "2", "1", "0"]

    def test_what_has_not_ended_fails(self, store: Store) -> None:
        ended = replace(make_task("ended"), state=TaskState.DONE, ended=NOW)
        for task in (make_task("waiting"), ended):
            store.add_task(task)
        later = NOW + timedelta(hours=1)
        store.end_tasks("why", later)
        found = store.find_task("waiting")
        assert found
        assert (found.state, found.error, found.ended) == (TaskState.FAILED, "why", later)
        assert store.find_task("ended") == ended
