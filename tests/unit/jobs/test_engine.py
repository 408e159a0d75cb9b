"""Durable workflows: of a service alone, on SQLite, and of one among several, on PostgreSQL, where
each life has an id of its own and takes over what the ones before have left.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dbos import DBOS

import openrdms.jobs.engine as engine_module
from live.service import until
from openrdms.jobs.engine import JobEngine, Run, Step, Workflow

GUID = "{0B0C2F0A-8A2F-4B0E-9E0C-0A4E3C1D2B3A}"
OTHER = "{0B0C2F0A-8A2F-4B0E-9E0C-0A4E3C1D2B3B}"
NEWER = "{0B0C2F0A-8A2F-4B0E-9E0C-0A4E3C1D2B3C}"
Launch = Callable[[Workflow], JobEngine]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Its URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    return str(request.getfixturevalue("postgresql_records"))


@pytest.fixture
def dead(database: str) -> str:
    """The id of a service that was killed."""
    return "" if database.startswith("sqlite") else "dead"


@pytest.fixture
def launch(database: str, dead: str) -> Iterator[Launch]:
    """Opens the engine on the same database each time, abandoning the one before."""
    engines: list[JobEngine] = []
    lives = itertools.count()

    def open_one(workflow: Workflow) -> JobEngine:
        if engines:
            engines.pop().close()
        service = dead and f"life{next(lives)}"
        engine = JobEngine(database, service)
        engines.append(engine)
        engine.launch(workflow)
        if service:
            for other in {*engine.services} - {service}:
                engine.take_over(other)
            engine.renew()
        return engine

    yield open_one
    engines.pop().close()


class Trace:
    """Steps as they were run."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, run: Run, name: str) -> Step[str]:
        async def body() -> str:
            self.steps.append(name)
            return name

        return run.reserve(name, body)


def wait_for_end(workflow: str) -> None:
    """An engine that is closed in the middle of one leaves a coroutine that nobody awaits."""
    DBOS.retrieve_workflow(workflow).get_result(polling_interval_sec=0.05)


def test_steps_are_run_once_whatever_order_they_end_in(launch: Launch) -> None:
    trace = Trace()

    async def workflow(run: Run) -> None:
        steps = [trace.step(run, f"step {n}") for n in range(5)]
        assert await asyncio.gather(*(s() for s in reversed(steps))) == [
            f"step {n}" for n in (4, 3, 2, 1, 0)
        ]

    launch(workflow).start(GUID)
    wait_for_end(GUID)
    assert sorted(trace.steps) == [f"step {n}" for n in range(5)]


KILLED = """
import asyncio, os, sys, threading
from pathlib import Path
from openrdms.jobs.engine import JobEngine

async def workflow(run):
    one, two = run.reserve("one", lambda: asyncio.sleep(0)), run.reserve("two", die)
    await one()
    await two()

async def die():
    os.kill(os.getpid(), 9)

engine = JobEngine(*sys.argv[2:])
engine.launch(workflow)
engine.start(sys.argv[1])
threading.Event().wait(200)
"""


def kill_one(database: str, dead: str, program: str = KILLED) -> None:
    """It has done its first step, and was in its second."""
    command = [sys.executable, "-c", program, GUID, database, dead]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_a_killed_workflow_goes_on_after_its_last_step(
    database: str, dead: str, launch: Launch
) -> None:
    kill_one(database, dead)
    trace = Trace()

    async def workflow(run: Run) -> None:
        one, two = trace.step(run, "one"), trace.step(run, "two")
        await one()
        await two()

    launch(workflow)
    wait_for_end(GUID)
    assert trace.steps == ["two"]


def kill_one_of_version(version: int, database: str, dead: str) -> None:
    program = KILLED.replace("async def workflow", f"""
import openrdms.jobs.engine as module
module.WORKFLOW_VERSION = {version}

async def workflow""", 1)  # fmt: skip
    kill_one(database, dead, program)


def test_what_a_much_earlier_version_began_is_begun_anew(
    database: str, dead: str, launch: Launch
) -> None:
    kill_one_of_version(engine_module.OLDEST_VERSION - 1, database, dead)
    trace = Trace()

    async def workflow(run: Run) -> None:
        assert run.guid == GUID
        await trace.step(run, "anew")()

    launch(workflow).start(GUID)
    wait_for_end(f"{GUID}/2")
    assert trace.steps == ["anew"]


def changed_workflow(trace: Trace) -> Workflow:
    """What a next version makes of KILLED's: a step more before each of its own."""

    async def workflow(run: Run) -> None:
        if await run.changed("a step before the first"):
            await trace.step(run, "zero")()
        await trace.step(run, "one")()
        if await run.changed("a step before the second"):
            await trace.step(run, "one and a half")()
        await trace.step(run, "two")()

    return workflow


def test_a_newer_version_goes_on_with_the_steps_of_the_one_before(
    database: str, dead: str, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_one_of_version(engine_module.WORKFLOW_VERSION, database, dead)
    monkeypatch.setattr(engine_module, "WORKFLOW_VERSION", engine_module.WORKFLOW_VERSION + 1)
    trace = Trace()
    launch(changed_workflow(trace)).start(GUID)
    wait_for_end(GUID)
    assert trace.steps == ["one and a half", "two"]
    assert DBOS.get_workflow_status(f"{GUID}/2") is None


def test_what_was_being_lifted_when_a_service_died_is_lifted(
    database: str, dead: str, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_one_of_version(engine_module.WORKFLOW_VERSION, database, dead)
    monkeypatch.setattr(engine_module, "WORKFLOW_VERSION", engine_module.WORKFLOW_VERSION + 1)
    with monkeypatch.context() as dying:
        dying.setattr(DBOS, "rewind_workflow", lambda *_, **__: None)
        launch(changed_workflow(Trace()))
    trace = Trace()
    launch(changed_workflow(trace)).start(GUID)
    wait_for_end(GUID)
    assert trace.steps == ["one and a half", "two"]


def test_an_older_version_leaves_alone_what_a_newer_one_began(
    database: str, dead: str, launch: Launch
) -> None:
    kill_one_of_version(engine_module.WORKFLOW_VERSION + 1, database, dead)
    trace = Trace()
    engine = launch(changed_workflow(trace))
    engine.take_over(dead or "openrdms")
    engine.renew()
    engine.start(GUID)
    engine.start(NEWER, engine_module.WORKFLOW_VERSION + 1)
    engine.start(OTHER)  # what may be run is run by the same queue
    wait_for_end(OTHER)
    status = DBOS.get_workflow_status(GUID)
    assert status and status.status == "ENQUEUED"
    assert DBOS.get_workflow_status(f"{GUID}/2") is None
    assert DBOS.get_workflow_status(NEWER) is None


def test_a_workflow_that_is_under_way_is_not_started_again(launch: Launch) -> None:
    runs: list[str] = []
    release = threading.Event()

    async def workflow(run: Run) -> None:
        runs.append(run.guid)
        await asyncio.to_thread(release.wait, 60)

    engine = launch(workflow)
    engine.start(GUID)
    engine.start(GUID)
    release.set()
    wait_for_end(GUID)
    assert runs == [GUID]


def test_a_failed_workflow_is_started_anew(launch: Launch) -> None:
    again = threading.Event()

    async def failing(run: Run) -> None:
        raise ZeroDivisionError

    async def working(run: Run) -> None:
        assert run.guid == GUID
        again.set()

    launch(failing).start(GUID)
    with pytest.raises(ZeroDivisionError):
        wait_for_end(GUID)
    launch(working).start(GUID)
    wait_for_end(f"{GUID}/2")
    assert again.is_set()


def test_wake_halts_the_run_it_is_meant_for(launch: Launch) -> None:
    started, halted = threading.Event(), threading.Event()

    async def workflow(run: Run) -> None:
        started.set()
        await run.halt.wait()
        halted.set()

    engine = launch(workflow)
    engine.wake(GUID)
    engine.start(GUID)
    assert started.wait(60)
    engine.wake("{another}")
    assert not halted.wait(0.1)
    engine.wake(GUID)
    assert halted.wait(60)
    wait_for_end(GUID)


def test_dbos_calls_its_threads_what_the_lookout_knows_them_by(launch: Launch) -> None:
    async def workflow(run: Run) -> None:
        """Nothing."""

    launch(workflow)
    for name in ("(queue_thread)", "queue-worker-", "dbos-background-jobs"):
        until(name, lambda n=name: any(n in thread.name for thread in threading.enumerate()))


def test_starting_before_launch_is_a_defect(tmp_path: Path) -> None:
    engine = JobEngine(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with pytest.raises(RuntimeError):
        engine.start(GUID)
    engine.close()
