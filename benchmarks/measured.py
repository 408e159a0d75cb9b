"""A service whose jobs are timed by its records, its cost by the kernel, and what begins on its
hosts by the simulator's own state."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fakes.provisioning_rig import create, later
from live import beginnings
from live.rollout import create_collection, execute
from live.service import Service
from openrdms.model.collection import CollectionState
from openrdms.model.job import JobAction
from openrdms.model.provisioning import JobDocument, render_job

_LOOK_SECONDS = 0.1
_TOO_LONG = 3600.0


@dataclass(frozen=True)
class Begun:
    """A job, when it was asked for, and what processor time the service had had by then."""

    guid: str
    asked: float
    cpu: float


@dataclass(frozen=True)
class Cost:
    """Of one job: seconds from the call to its end on record, of the service's processor time,
    and MiB that the service had resident at the most while it ran."""

    state: CollectionState
    wall: float
    cpu: float
    most_mib: float


class Measured:
    """``cluster`` is the simulator's own directory. Times are the machine's, in seconds."""

    def __init__(self, service: Service, cluster: Path) -> None:
        self.service = service
        self.cluster = cluster
        self.wire = service.wire()

    @property
    def pid(self) -> int:
        return int(self.service.ready["pid"])

    def begin_create(self, alias: str, count: int, *, host: str = "", start: bool = True) -> Begun:
        """A job that fills a new collection, at that host or where there is room."""
        create_collection(self.wire, alias)
        return self._begin(
            create([(host, count)], collection=alias, name_prefix=f"{alias}-", start=start)
        )

    def begin_delete(self, alias: str) -> Begun:
        """A job that removes all of a collection."""
        return self._begin(replace(later(JobAction.DELETE), collection=alias))

    def _begin(self, document: JobDocument) -> Begun:
        asked, spent = time.time(), cpu_seconds(self.pid)
        return Begun(execute(self.wire, render_job(document)), asked, spent)

    def finish(self, job: Begun) -> Cost:
        """What the job has cost when it has ended."""
        most = 0.0
        while (end := self._find_end(job.guid)) is None:
            most = max(most, resident_mib(self.pid))
            assert time.time() < job.asked + _TOO_LONG, self.service.read_log()
            time.sleep(_LOOK_SECONDS)
        state, ended = end
        return Cost(state, ended - job.asked, cpu_seconds(self.pid) - job.cpu, most)

    def _find_end(self, guid: str) -> tuple[CollectionState, float] | None:
        """Final state and when it was on record; None while the job runs."""
        query = "SELECT state, ended FROM jobs WHERE guid = ?"
        [(state, ended)] = self.service.read_rows(query, guid)
        if ended is None:
            return None
        return CollectionState(state), datetime.fromisoformat(ended).replace(tzinfo=UTC).timestamp()

    def record_beginnings(self) -> None:
        """From now on the simulator's state tells when anything began to be made."""
        beginnings.record_on_hosts(self.cluster)

    def last_beginning(self) -> float:
        """When the last clone, definition or start began."""
        return max(
            at for kind, _, at, _ in beginnings.read_on_hosts(self.cluster) if kind != "stop"
        )

    def copy_truth(self, directory: Path) -> float:
        """The cluster as it is now, as another one; returns when that was."""
        directory.mkdir()
        other = directory / "state.sqlite"
        with closing(self._truth()) as truth, closing(sqlite3.connect(other)) as copy, copy:
            truth.backup(copy)
            return time.time()

    def _truth(self) -> sqlite3.Connection:
        return sqlite3.connect(self.cluster / "state.sqlite", timeout=30)


@contextmanager
def measured(parameters: str) -> Iterator[Measured]:
    """A service on a simulator with these parameters, with nothing in it."""
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        cluster = Path(directory) / "cluster"
        uri = f"simulator://{cluster}?{parameters}"
        service = Service(Path(directory) / "state", uri)
        try:
            service.start()
            yield Measured(service, cluster)
        finally:
            service.clear()


def cpu_seconds(pid: int) -> float:
    """Processor time that the process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Memory of the process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / (1 << 20)
