"""One running job in this process: its rows, its hosts, and whether it may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from openrdms import ports
from openrdms.jobs.engine import Run
from openrdms.jobs.lanes import Halted, Lanes
from openrdms.model.desktop import Desktop
from openrdms.model.host import Ownership, VmSpec
from openrdms.model.job import Job, JobDesktop, Phase, VmStatus
from openrdms.model.provisioning import OnError
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images
from openrdms.services.provisioning.agents import AgentEvents

P = ParamSpec("P")
R = TypeVar("R")

_RECORDS = "records"
"""Lane of the store: one transaction must not hold up the event loop either."""

_WIDTH = 8
"""Calls at a time on the store, and in the guests of one host, which is none of its slots."""


@dataclass(frozen=True)
class Tools:
    """What every job works with. ``boot_deadline`` in seconds is what a guest may take."""

    store: ports.Store
    hosts: Hosts
    images: Images
    agents: AgentEvents
    lanes: Lanes
    clock: ports.Clock
    staging: Path
    boot_deadline: float


def lane_width(hosts: Hosts, lane: str) -> int:
    """A host's lane has its slots: more would queue up inside it, where no cancel reaches them."""
    host = hosts.find(lane)
    return host.slots if host else _WIDTH


class Work:
    """The job ``run`` carries out. ``rows`` are its desktops as last written, by ordinal.

    This process is the only writer of these rows while the job runs, so what it wrote it need
    not read again; after a restart they are read once, by ``load``.
    """

    def __init__(self, tools: Tools, run: Run, job: Job, phases: tuple[Phase, ...]) -> None:
        self.tools = tools
        self.run = run
        self.job = job
        self.phases = phases
        self.rows: dict[int, JobDesktop] = {}
        self.gate: asyncio.Event | None = run.halt
        """What calls on hosts must find open; None once the job takes back and cleans up."""
        self.defect = ""
        """Words for an error that no desktop is to blame for."""

    @property
    def stops_on_error(self) -> bool:
        """True unless the job document says Continue."""
        return self.job.options.get("on_error") != OnError.CONTINUE

    @property
    def halted(self) -> bool:
        """True when nothing new may begin."""
        return self.run.halt.is_set()

    async def load(self) -> None:
        """Read the rows, and halt when they or the job say so."""
        self.rows = {
            row.ordinal: row
            for row in await self.with_store(self.tools.store.list_job_desktops, self.job.guid)
        }
        failed = any(row.status is VmStatus.FAILED for row in self.rows.values())
        if self.stops_on_error and failed:
            self.run.halt.set()
        if (await self.reread()).cancel_requested:
            self.run.halt.set()

    async def reread(self) -> Job:
        """The job as it is on record now."""
        job = await self.with_store(self.tools.store.find_job, self.job.guid)
        if job is None:
            raise LookupError(f"the record of job {self.job.guid} is gone")
        return job

    async def write(
        self,
        rows: Iterable[JobDesktop],
        *,
        records: Iterable[Desktop] = (),
        dropped: Iterable[str] = (),
    ) -> None:
        """Write the rows of a batch, and with them desktops, in one transaction."""
        changed = list(rows)
        if not changed:
            return
        await self.with_store(
            self.tools.store.put_job_desktops,
            changed,
            self.tools.clock(),
            records=list(records),
            dropped=list(dropped),
        )
        self.rows.update({row.ordinal: row for row in changed})

    async def note(self, row: JobDesktop, words: str) -> None:
        """Let the report say what went wrong besides; once per reason."""
        current = self.rows[row.ordinal]
        if words not in current.error:
            said = "; ".join(text for text in (current.error, words) if text)
            await self.write([replace(current, error=said)])

    async def with_store(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """One transaction, in a thread."""
        return await self.tools.lanes.call(_RECORDS, None, function, *args, **kwargs)

    async def on_host(
        self, row: JobDesktop, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Work on the row's host, in its lane. Raises Halted instead of beginning it too late."""
        return await self.tools.lanes.call(row.host, self.gate, function, *args, **kwargs)

    async def in_guest(
        self, row: JobDesktop, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Like ``on_host``, for calls on the guest's agent."""
        lane = f"guests of {row.host}"
        return await self.tools.lanes.call(lane, self.gate, function, *args, **kwargs)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when ``event`` is set or time is up. Raises Halted as soon as the job halts."""
        waits = [asyncio.create_task(e.wait()) for e in (self.run.halt, event)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self.halted:
            raise Halted

    def host(self, row: JobDesktop) -> ports.Host:
        """The row's host. NotFound when the service has it no more."""
        return self.tools.hosts.get(row.host)

    def spec(self, row: JobDesktop) -> VmSpec:
        """The VM as planned."""
        return self.spec_of(row, row.generation, row.image)

    def spec_of(self, row: JobDesktop, generation: int, image: str) -> VmSpec:
        """The VM over the disk of that generation, from NAME@VERSION."""
        return VmSpec(
            name=row.name,
            uuid=row.uuid,
            mac=row.mac,
            image=self.tools.images.resolve(f"image:{image}"),
            disk_kind=row.disk_kind,
            generation=generation,
            ownership=Ownership(self.job.collection, self.job.guid, image),
        )
