"""The durable engine: one DBOS workflow per job, its steps remembered across kill -9.

Everything of DBOS that the product relies on is in this file, and only its public interface.
The engine is crash-only: there is no orderly stop, a service that ends leaves its workflows as
they are, and the next one to open the same database goes on with them (executor_id is fixed for
that; the state directory has one owner at a time). Services that share a database each have an id
of their own, new in each life, and hand on nothing by themselves: what one of them has begun
another one takes over (``take_over``).

Services of two versions may share it, too. A workflow is of the version that has run it last, and
only services of that version run it; a newer one lifts what is left by an older one to its own
(``renew``), with all results that its steps have. What is newer is never touched.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog
from dbos import DBOS, DBOSConfig, SetWorkflowID, StepOptions, WorkflowStatus

from openrdms.jobs.halt import Halt
from openrdms.jobs.lookout import Lookout

T = TypeVar("T")
Step = Callable[[], Coroutine[Any, Any, T]]

WORKFLOW_VERSION = 3
"""Raise it by one with a release in which the order or the names of steps change, or in which what
a step does to records or hosts could not be gone on with by the release before.
"""

OLDEST_VERSION = 3
"""Of which the steps can be replayed, since all that has changed since asks ``Run.changed``. What
an earlier version has begun is begun anew, from the records. Raise it to remove such a question.
"""

_POOL_SIZE = 5
"""Connections of PostgreSQL, of some 100 that a server has for several services."""

_UNUSED_SECONDS = 1.0
"""How often DBOS looks for events to tell of, which we have none of: a hundred times a second else.
"""

_EXECUTOR = "openrdms"
_ENDED = ("SUCCESS", "ERROR")

# A step raises only when the records cannot be read or written, so it is simply done again:
# 0.1 s doubling, with the largest pause about 27 minutes.
_RETRIES: StepOptions = {
    "retries_allowed": True,
    "interval_seconds": 0.1,
    "backoff_rate": 2.0,
    "max_attempts": 15,
}

_log = structlog.get_logger(__name__)


class Run:
    """One workflow while it runs in this process. Used on the workflow's event loop only."""

    def __init__(self, guid: str) -> None:
        self.guid = guid
        self.halt = Halt()
        """Set when nothing new may begin: a cancel was accepted, or the job itself says so."""
        self.cancelled = False
        """Whether it was told that a cancel is on record."""
        self._loop = asyncio.get_running_loop()

    def reserve(self, name: str, body: Step[T]) -> Step[T]:
        """A durable step that takes its number now and runs when the result is called.

        Steps are replayed by number: reserve them in an order that is the same at every replay,
        then run them in any order and at the same time. Only results of plain data survive.
        """
        reservation = DBOS.reserve_step()

        async def attempt() -> T:  # DBOS awaits what it sees to be a coroutine function
            return await body()

        async def run() -> T:
            return await reservation.run_async({"name": name, **_RETRIES}, attempt)

        return run

    async def step(self, name: str, body: Step[T]) -> T:
        """Reserve and run one durable step."""
        return await self.reserve(name, body)()

    async def changed(self, name: str) -> bool:
        """Whether what a new version calls ``name`` holds for this run: False when an earlier
        version has been past this point. Ask it between steps, never while one runs.
        """
        return await DBOS.patch_async(name)

    def wake(self) -> None:
        """Set ``halt`` for a cancel that is on record, from any thread."""
        self.cancelled = True
        self._loop.call_soon_threadsafe(self.halt.set)


Workflow = Callable[[Run], Awaitable[None]]
"""What a job does. It must behave the same at every replay but for what its steps return."""


class JobEngine:
    """Starts, resumes and wakes workflows. One per process: DBOS allows no more."""

    def __init__(
        self, database: str, service: str = "", end: Callable[[str], object] = lambda why: None
    ) -> None:
        """``database``: URL of an SQLite or PostgreSQL one. ``service`` is this one's id where
        others share it; ``end`` is told why this process must end, which runs a job twice.
        """
        _log_through_structlog()
        self._lookout = Lookout()
        config: DBOSConfig = {
            "name": "openrdms",
            "system_database_url": database,
            "dbos_system_schema": "dbos",
            "application_version": str(WORKFLOW_VERSION),
            "executor_id": service or _EXECUTOR,
            "log_level": "WARNING",
        }
        if not database.startswith("sqlite"):
            config["sys_db_pool_size"] = _POOL_SIZE
            config["notification_coalesce_sec"] = _UNUSED_SECONDS
        if service:  # the others end all connections of that name when they have fenced it
            arguments = {"application_name": f"rdms:{service}"}
            pool = self._lookout.pool
            config["db_engine_kwargs"] = {"connect_args": arguments, "poolclass": pool}
        DBOS(config=config)
        self._is_alone = not service
        self._end = end
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self._enter: Callable[[str], Awaitable[None]] | None = None

    def launch(self, workflow: Workflow) -> None:
        """Open the database and go on with every workflow that was under way in it."""

        # unlimited recovery: a service that was killed a hundred times still ends its jobs
        @DBOS.workflow(name="job", max_recovery_attempts=None)
        async def enter(guid: str) -> None:
            await self._follow(guid, workflow)

        self._enter = enter
        self._lookout.alert()
        DBOS.launch()
        if self._is_alone:
            self.renew()

    async def _follow(self, guid: str, workflow: Workflow) -> None:
        run = Run(guid)
        with self._lock:
            if guid in self._runs:  # it was taken over from this very service, which lives
                self._end(f"job {guid} is run a second time")
            self._runs[guid] = run
        try:
            await workflow(run)
        except Exception:
            _log.exception("workflow failed; it goes on when the service starts again", job=guid)
            raise
        finally:
            with self._lock:
                del self._runs[guid]

    def start(self, guid: str, version: int = 0) -> None:
        """Start the job's workflow unless there is one. Call it only for a job not ended.

        What a newer ``version`` accepted (0: any) waits for a service of it, which may do more than
        we know.
        A workflow that ended without ending its job met an error that no retry cured, or is older
        than OLDEST_VERSION; the job goes on in a new one, which finds in the records what was done.
        """
        if self._enter is None:
            raise RuntimeError("a job was started before launch")
        if version > WORKFLOW_VERSION:
            return
        for attempt in itertools.count(1):
            workflow_id = guid if attempt == 1 else f"{guid}/{attempt}"
            status = DBOS.get_workflow_status(workflow_id)
            if status is None:
                with SetWorkflowID(workflow_id):
                    DBOS.start_workflow(self._enter, guid)
                return
            if not _is_over(status):
                return

    def expect_work(self) -> None:
        """Some may be handed on by another service: look for it at once, and for some time."""
        self._lookout.alert()

    def take_over(self, service: str) -> None:
        """Have all workflows of a service that is fenced gone on with, by any that lives.

        Nobody else may be at that: what is resumed twice runs twice. So each is looked at again
        right before, for who began this believing to be alone.
        """
        for workflow in _list("PENDING", service=service):
            now = DBOS.get_workflow_status(workflow.workflow_id)
            if now and (now.status, now.executor_id) == ("PENDING", service):
                _hand_on(now)
                self._lookout.alert()

    @property
    def services(self) -> list[str]:
        """Ids of those that have workflows under way, or had when they died."""
        return list({str(workflow.executor_id) for workflow in _list("PENDING")})

    def renew(self) -> None:
        """Lift to this version what an older one has left: what waits for a service of it, of
        which there may be none any more, and what was being lifted when a service died.

        One service at a time may be at that.
        """
        left = _list("ENQUEUED", "CANCELLED", *(("PENDING",) if self._is_alone else ()))
        older = [
            one for one in left if one.status != "CANCELLED" and _version(one) < WORKFLOW_VERSION
        ]
        lifting = [
            one
            for one in left
            if one.status == "CANCELLED" and OLDEST_VERSION <= _version(one) <= WORKFLOW_VERSION
        ]
        for workflow in (*older, *lifting):
            now = DBOS.get_workflow_status(workflow.workflow_id)
            if now and now.status == workflow.status:
                _lift(now)
                self._lookout.alert()

    @property
    def running(self) -> list[str]:
        """GUIDs of the jobs that run in this process."""
        with self._lock:
            return list(self._runs)

    def wake(self, guid: str) -> None:
        """Tell a running workflow that a cancel is on record. It looks at its records at its
        beginning too, so a wake that comes before that may be lost.
        """
        with self._lock:
            run = self._runs.get(guid)
        if run is not None:
            run.wake()

    def close(self) -> None:
        """End all workflows where they are. For tests of several services in one process: DBOS
        then takes them for failed, and ``start`` begins them anew. A service just exits.
        """
        self._lookout.alert()
        DBOS.destroy(destroy_registry=True)


def _list(*statuses: str, service: str | None = None) -> list[WorkflowStatus]:
    """Workflows that have one of these, and are of that service."""
    return DBOS.list_workflows(
        status=[*statuses], executor_id=service, load_input=False, load_output=False
    )


def _version(workflow: WorkflowStatus) -> int:
    """The one that has run it last."""
    return int(workflow.app_version or 0)


def _is_over(workflow: WorkflowStatus) -> bool:
    """Whether its job may be begun anew, by this version."""
    version = _version(workflow)
    if version < OLDEST_VERSION:
        return workflow.status in (*_ENDED, "CANCELLED")
    return workflow.status in _ENDED and version <= WORKFLOW_VERSION


def _hand_on(workflow: WorkflowStatus) -> None:
    """Let services of its version have it, or of this one if that is newer."""
    if _version(workflow) < WORKFLOW_VERSION:
        _lift(workflow)
        return
    if _version(workflow) > WORKFLOW_VERSION:
        _log.warning("waits for a service of a newer version", workflow=workflow.workflow_id)
    DBOS.resume_workflow(workflow.workflow_id)


def _lift(workflow: WorkflowStatus) -> None:
    """Make it one of this version, with all that its steps have returned.

    DBOS does so with what has ended only. A death in between leaves it cancelled (``renew``).
    """
    name = workflow.workflow_id
    DBOS.cancel_workflow(name)
    if _version(workflow) >= OLDEST_VERSION:
        steps = DBOS.list_workflow_steps(name, load_output=False)
        after = max((step["function_id"] for step in steps), default=0) + 1
        DBOS.rewind_workflow(name, start_step=after, application_version=str(WORKFLOW_VERSION))


class _ToStructlog(logging.Handler):
    """Hands what DBOS logs to the log of the service."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record, with its exception."""
        _log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def _log_through_structlog() -> None:
    """DBOS writes to the console itself unless its logger has a handler already."""
    logger = logging.getLogger("dbos")
    if not any(isinstance(handler, _ToStructlog) for handler in logger.handlers):
        logger.addHandler(_ToStructlog())
    logger.propagate = False
