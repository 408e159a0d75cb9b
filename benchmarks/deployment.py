"""Services on a PostgreSQL of their own, behind a balancer: what they do, and what it costs."""

from __future__ import annotations

import base64
import os
import tempfile
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import psycopg

from benchmarks import messages, wrk
from benchmarks.fill import COLLECTION
from benchmarks.measured import cpu_seconds
from benchmarks.messages import COLLECTIONS, Post
from fakes.provisioning_rig import create, later
from live.browser import WebClient, csrf_of
from live.postgresql import PostgreSql
from live.service import PASSWORD, USER, until
from live.services import Balancer, Services, services
from openrdms.cli.rdms_client import Login, RdmsClient
from openrdms.model.collection import CollectionState
from openrdms.model.job import JobAction
from openrdms.model.provisioning import JobDocument, render_job

CLUSTER = "hosts=10&slots=100&clone_ms=1&start_ms=1&boot_ms=1&agent_ms=1&destroy_ms=1&users=0"
"""Hosts that are never what a job waits for: services are as busy as they can be."""

CONNECTIONS = 6
"""Of clients that read, of one to three services: as many at each."""

READ_DESKTOPS = 100
"""In the collection that is read."""

_STATISTICS = {"shared_preload_libraries": "pg_stat_statements", "track_wal_io_timing": "on"}
_HEARD_SECONDS = 0.5
"""After which all services have heard of what a job has changed."""

_TOO_LONG = 600.0


@dataclass(frozen=True)
class Spent:
    """Seconds: of processors by the services and by PostgreSQL, and that passed meanwhile."""

    services: float
    postgresql: float
    wall: float

    def __sub__(self, other: Self) -> Self:
        return type(self)(
            self.services - other.services,
            self.postgresql - other.postgresql,
            self.wall - other.wall,
        )

    def without(self, idle: Self) -> Self:
        """What would not have been spent had they had nothing to do."""
        part = self.wall / idle.wall
        return type(self)(
            self.services - part * idle.services,
            self.postgresql - part * idle.postgresql,
            self.wall,
        )

    def __truediv__(self, count: int) -> Self:
        return type(self)(self.services / count, self.postgresql / count, self.wall / count)

    @property
    def both(self) -> float:
        """Of services and PostgreSQL."""
        return self.services + self.postgresql


@dataclass(frozen=True)
class Read:
    """A request to one of the ports, as the ready file calls it."""

    port: str
    method: str
    request: Post


class Watched(PostgreSql):
    """It waits for the disk, as a real one does, and keeps statistics of all statements."""

    def __init__(self) -> None:
        super().__init__(durable=True)
        self._settings = {**self._settings, **_STATISTICS}


class Deployment:
    """Services that share records and hosts, and a balancer in front of them for jobs."""

    def __init__(self, postgresql: PostgreSql, started: Services) -> None:
        self.postgresql = postgresql
        self.services = started
        self._watchers: set[int] = set()
        self.records = self.watch()
        self._balancer = Balancer([])
        self.use(len(started.members))
        self._token = self._make_token()

    def use(self, count: int) -> None:
        """Have so many of the services at work from now on."""
        self._used = self.services.members[:count]
        urls = [urlsplit(one.ready["wsman_https"]) for one in self._used]
        self._balancer.targets = [(str(url.hostname), int(url.port or 0)) for url in urls]

    def schedule(self, policy: int) -> None:
        """Have the kernel treat services, their PostgreSQL and who asks them so: SCHED_BATCH or
        SCHED_OTHER.
        """
        services = [int(member.ready["pid"]) for member in self.services.members]
        for pid in (*services, *self.backends(), os.getpid()):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with suppress(ProcessLookupError):  # it has just ended
                    os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))

    def watch(self) -> psycopg.Connection[Any]:
        """A connection of who measures: what PostgreSQL spends on it is not counted."""
        connection = self.postgresql.connect(self.services.database)
        self._watchers.add(connection.info.backend_pid)
        return connection

    def backends(self) -> list[int]:
        """Processes of PostgreSQL, but for those of who measures."""
        pid = self.postgresql.pid
        return [pid, *(one for one in children(pid) if one not in self._watchers)]

    def close(self) -> None:
        """The balancer and our connection."""
        self._balancer.close()
        self.records.close()

    def spent(self) -> Spent:
        """Until now."""
        return Spent(
            sum(cpu_seconds(int(member.ready["pid"])) for member in self.services.members),
            tree_seconds(self.postgresql.pid, self._watchers),
            time.monotonic(),
        )

    def reads(self) -> dict[str, Read]:
        """What is read, by the name that it is printed with."""
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        soap = {"Authorization": f"Basic {basic}"}
        rest = {"Authorization": f"Bearer {self._token}"}
        get, enumerate_all = messages.wsman_get(), messages.wsman_enumerate(READ_DESKTOPS)
        path = f"/api/v1/collections/{COLLECTION}"
        desktops = f"/api/v1/desktops?collection={COLLECTION}&limit={READ_DESKTOPS}"
        return {
            "WS-Man Get": Read("wsman_https", "POST", _with(get, soap)),
            "WS-Man Enumerate": Read("wsman_https", "POST", _with(enumerate_all, soap)),
            "REST, one collection": Read("web", "GET", Post(path, b"", b'"alias"', rest)),
            "REST, list of desktops": Read("web", "GET", Post(desktops, b"", b'"items"', rest)),
        }

    def read(self, name: str, seconds: int) -> int:
        """For so long, of all that are at work: how many have answered."""
        what = self.reads()[name]
        urls = [urljoin(member.ready[what.port], what.request.path) for member in self._used]
        return wrk.ask(urls, what.request, CONNECTIONS // len(urls), seconds, what.method)

    def run_jobs(self, action: JobAction, aliases: Sequence[str], count: int) -> float:
        """All at once, each for ``count`` desktops and, by the balancer, at the next service.

        Returns seconds until the last has ended; comes back when others have heard of it.
        """
        begun = time.monotonic()
        guids = [self._execute(action, alias, count) for alias in aliases]
        until("jobs have ended", lambda: self._count_ended(guids) == len(guids), _TOO_LONG, 0.02)
        seconds = time.monotonic() - begun
        query = "SELECT DISTINCT state FROM jobs WHERE guid = ANY(%s)"
        states = self.records.execute(query, (guids,)).fetchall()
        assert states == [(CollectionState.JOB_COMPLETED,)], states
        time.sleep(_HEARD_SECONDS)
        return seconds

    def _count_ended(self, guids: list[str]) -> int:
        query = "SELECT count(*) FROM jobs WHERE guid = ANY(%s) AND ended IS NOT NULL"
        [(count,)] = self.records.execute(query, (guids,)).fetchall()
        return int(count)

    def _execute(self, action: JobAction, alias: str, count: int) -> str:
        place = f"https://127.0.0.1:{self._balancer.port}/wsman"
        with RdmsClient(Login(place, USER, PASSWORD, insecure=True)) as client:
            if action is JobAction.CREATE:
                values = {"Alias": alias, "Name": alias, "Type": 1, "IsManaged": True}
                client.create(COLLECTIONS, values)
            document = render_job(_document(action, alias, count))
            outputs = client.invoke(COLLECTIONS, "ProvisioningJobExecute", JobInputXml=document)
        return str(outputs["JobGuid"])

    def _make_token(self) -> str:
        """Of the administrator, to read by REST."""
        with WebClient(self.services.members[0]) as client:
            client.sign_in(USER, PASSWORD)
            client.headers["x-csrf-token"] = csrf_of(client.get("/").text)
            reply = client.post(
                f"/api/v1/users/{USER}/tokens", json={"name": "bench", "scopes": ["read"]}
            )
            assert reply.status_code == 201, reply.text
            return str(reply.json()["secret"])


@contextmanager
def deployed(count: int) -> Iterator[Deployment]:
    """So many services, and nothing left of them."""
    postgresql = Watched()
    with ExitStack() as ends:
        ends.callback(postgresql.clear)
        postgresql.start()
        directory = ends.enter_context(tempfile.TemporaryDirectory(prefix="rdms-bench-"))
        started = ends.enter_context(services(Path(directory), postgresql, CLUSTER, count))
        deployment = Deployment(postgresql, started)
        ends.callback(deployment.close)
        deployment.run_jobs(JobAction.CREATE, [COLLECTION], READ_DESKTOPS)
        yield deployment


def tree_seconds(root: int, without: Container[int]) -> float:
    """Processor time of a process and of its children, those that have ended too."""
    ticks = 0
    for pid, fields in _read_stats():
        if pid == root:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == root and pid not in without:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def children(root: int) -> list[int]:
    """Processes that it has begun and that live."""
    return [pid for pid, fields in _read_stats() if int(fields[1]) == root]


def _read_stats() -> Iterator[tuple[int, list[str]]]:
    """Of every process the fields behind its name: state, parent, and on (proc(5))."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            yield int(place.parent.name), place.read_text().rpartition(")")[2].split()


def _with(request: Post, headers: Mapping[str, str]) -> Post:
    return replace(request, headers={**request.headers, **headers})


def _document(action: JobAction, alias: str, count: int) -> JobDocument:
    if action is JobAction.CREATE:
        return create([("", count)], collection=alias, name_prefix=f"{alias}-")
    return replace(later(action), collection=alias)
