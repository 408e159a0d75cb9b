"""One running job in this process: its rows, its hosts, and whether it may go on."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from openrdms import ports
from openrdms.jobs.engine import Run
from openrdms.jobs.halt import Halt, Halted
from openrdms.jobs.tokens import Kind, Tokens
from openrdms.model import errors
from openrdms.model.host import Ownership, VmSpec
from openrdms.model.image import ImageVersion
from openrdms.model.job import Job, JobDesktop, VmStatus
from openrdms.model.provisioning import OnError
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.fencing import acting_for
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images
from openrdms.services.provisioning.agents import AgentEvents
from openrdms.services.provisioning.outbox import Change, Outbox
from openrdms.services.provisioning.records import with_records
from openrdms.services.provisioning.step_times import StepTimes
from openrdms.services.provisioning.waits import Waits

if TYPE_CHECKING:
    from openrdms.services.provisioning.image_copies import ImageCopy

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

CANCELLED = ("cancelled", ReasonCode.CANCELLED)
"""What is said of a desktop that does not stay because of that."""


@dataclass(frozen=True)
class Tools:
    """What every job works with. ``boot_deadline`` in seconds is what a guest may take.

    ``factor`` tells how many desktops of a host may be under way at a time.
    """

    store: ports.Store
    hosts: Hosts
    health: HostHealth
    images: Images
    uses: DesktopUses
    agents: AgentEvents
    tokens: Tokens
    factor: Callable[[str], int]
    times: StepTimes
    clock: ports.Clock
    members: ports.MemberStore
    staging: Path
    boot_deadline: float
    waits: Waits = field(default_factory=Waits)
    works: dict[str, Work] = field(default_factory=dict)
    """Jobs that run in this process now, by GUID."""
    planning: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a job is planned: no two are given the same room."""


class Work:
    """The job ``run`` carries out. ``rows`` are its desktops as last written, by ordinal.

    This process is the only writer of these rows while the job runs, so what it wrote it need
    not read again; after a restart they are read once, by ``load``.
    """

    def __init__(self, tools: Tools, run: Run, job: Job) -> None:
        self.tools = tools
        self.run = run
        self.job = job
        self.rows: dict[int, JobDesktop] = {}
        self.marks: dict[int, str] = {}
        """What guests said of log-ons when they were made ready, until it is on record."""
        self.gate: Halt | None = run.halt
        """What calls on hosts must find open; None for what takes back and cleans up."""
        self.made: dict[int, Callable[[], None]] = {}
        """By ordinal, what to call when nothing but a boot is left to wait for on the host."""
        self.copies: dict[tuple[str, str], ImageCopy] = {}
        """By host and image: under way, done, or failed for good."""
        self.preparing: set[str] = set()
        """Names of desktops to remove that a pool still prepares."""
        self.defect = ""
        """Words for an error that no desktop is to blame for."""
        self._images: dict[str, ImageVersion] = {}
        self._outbox = Outbox(tools.store, tools.clock)

    @property
    def stops_on_error(self) -> bool:
        """True unless the job document says Continue."""
        return self.job.options.get("on_error") != OnError.CONTINUE

    @property
    def halted(self) -> bool:
        """True when nothing new may begin."""
        return self.run.halt.is_set()

    @property
    def is_shut(self) -> bool:
        """True when nothing may begin through this view of the job."""
        return self.gate is not None and self.gate.is_set()

    def past_halt(self) -> Work:
        """A view of the same job for what takes back: that begins whether or not it halted."""
        view = copy.copy(self)
        view.gate = None
        return view

    @property
    def is_planned(self) -> bool:
        """The first row of a plan is written last."""
        return 0 in self.rows

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

    async def write(self, rows: Iterable[JobDesktop]) -> None:
        """Write rows; see ``change``."""
        await self.change([Change(row) for row in rows])

    async def change(self, changes: Sequence[Change], *, last: bool = False) -> None:
        """Write rows and what becomes true with them, together with others of this moment; at once
        when they are the ``last``.
        """
        await self._outbox.put(changes, last=last)
        self.rows.update({change.row.ordinal: change.row for change in changes})

    async def with_store(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """One transaction, in a thread; see ``with_records``."""
        return await with_records(function, *args)

    async def on_host(
        self, row: JobDesktop, kind: Kind, function: Callable[[*Ts], R], *args: *Ts
    ) -> R:
        """Work on the row's host, with a token of it. Halted instead of beginning it too late."""

        def call() -> R:
            return self.act(row, kind, function, *args)

        tell = partial(self._tell_turn, row.host, kind, call, self.tools.clock())
        with self.tools.waits.during(self.job.guid, row.ordinal, tell):
            return await self.tools.tokens.call(row.host, kind, self.gate, call)

    def _tell_turn(
        self, host: str, kind: Kind, call: Callable[[], object], since: datetime
    ) -> Wait | None:
        """Its position among the calls on the host, and how long those before it take; None for
        one that has begun.
        """
        ahead = self.tools.tokens.list_ahead(host, kind, call)
        if ahead is None:
            return None
        each = [self.tools.times.estimate(host, one) for one in (*ahead, kind)]
        limit = self.tools.tokens.load(host, kind).limit
        seconds = None if None in each else sum(filter(None, each)) / limit
        words = f"waits for its turn on {host}"
        return Wait(ReasonCode.HOST_BUSY, words, since, len(each), seconds)

    def act(self, row: JobDesktop, kind: str, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Work on the row's host, in a thread that has its turn there. ``kind`` is what its time is
        measured as.
        """
        begun = time.monotonic()
        with acting_for(self.job.guid):
            result = function(*args)
        self.tools.times.measure(row.host, kind, time.monotonic() - begun)
        self.tools.health.note_success(row.host)
        return result

    async def in_guest(self, row: JobDesktop, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Call the guest's agent, without a token. Raises Halted without waiting for the answer
        when the job halts: what a guest is at is not waited for.
        """

        def ask() -> R:
            self.tools.members.check(self.job.guid)
            return function(*args)

        call = asyncio.ensure_future(self.tools.tokens.call(row.host, Kind.AGENT, self.gate, ask))
        if self.gate is None:
            return await call
        with self.gate.telling(call.cancel):
            try:
                return await call
            except asyncio.CancelledError:
                if self.halted and call.cancelled():
                    raise Halted(begun=True) from None
                raise

    async def wait(self, event: asyncio.Event, seconds: float | None) -> None:
        """Return when ``event`` is set or time is up. Raises Halted as soon as the job halts."""
        if self.halted:
            raise Halted
        waiter = asyncio.ensure_future(event.wait())
        with self.run.halt.telling(waiter.cancel):
            try:
                await asyncio.wait([waiter], timeout=seconds)
            finally:
                waiter.cancel()
        if self.halted:
            raise Halted

    async def host_back(self, row: JobDesktop, error: errors.HostUnavailable) -> None:
        """Wait until the row's host is there again, however long. Halted as ``gate`` has it."""
        self.tools.health.note_failure(row.host, error)
        back = asyncio.ensure_future(self.tools.health.back(row.host))
        with self.waiting(row, ReasonCode.HOST_AWAY, str(error)):
            if self.gate is None:
                await back
                return
            with self.gate.telling(back.cancel):
                await asyncio.wait([back])
        if self.halted:
            raise Halted
        await back  # NotFound: it was given up

    def waiting(
        self, row: JobDesktop, code: ReasonCode, words: str, seconds: float | None = None
    ) -> AbstractContextManager[None]:
        """Let the report say what the desktop waits for in the block, for about ``seconds``."""
        wait = Wait(code, words, self.tools.clock(), seconds=seconds)
        tell = partial(_tell_rest, wait, time.monotonic())
        return self.tools.waits.during(self.job.guid, row.ordinal, tell)

    def copies_left(self, host: str = "") -> float | None:
        """Seconds until all images are there that are being copied, to that host or to any; 0 when
        none is, None when there is no telling.
        """
        left = [copy.left() for (to, _), copy in self.copies.copy().items() if host in ("", to)]
        return None if None in left else max(filter(None, left), default=0.0)

    def host(self, row: JobDesktop) -> ports.Host:
        """The row's host. NotFound when the service has it no more."""
        return self.tools.hosts.get(row.host)

    def image(self, reference: str) -> ImageVersion:
        """NAME@VERSION. NotFound."""
        if reference not in self._images:
            self._images[reference] = self.tools.images.resolve(f"image:{reference}")
        return self._images[reference]

    def spec(self, row: JobDesktop) -> VmSpec:
        """The VM as planned."""
        return self.spec_of(row, row.generation, row.image)

    def spec_of(self, row: JobDesktop, generation: int, image: str) -> VmSpec:
        """The VM over the disk of that generation, from NAME@VERSION."""
        return VmSpec(
            name=row.name,
            uuid=row.uuid,
            mac=row.mac,
            image=self.image(image),
            disk_kind=row.disk_kind,
            generation=generation,
            ownership=Ownership(self.job.collection, self.job.guid, image),
        )


def _tell_rest(wait: Wait, begun: float) -> Wait:
    """With what is left of its seconds: 0 when it takes longer than foreseen."""
    if wait.seconds is None:
        return wait
    return replace(wait, seconds=max(0.0, wait.seconds - (time.monotonic() - begun)))


def give_up(row: JobDesktop, words: str, reason: ReasonCode) -> JobDesktop:
    """The row of a desktop that does not stay as the job made it; once, for the first reason."""
    if row.status in (VmStatus.FAILED, VmStatus.CANCELLED):
        return row
    error = _add(row.error, words)
    return replace(row, error=error, status=VmStatus.CANCELLED, reason=reason)


def with_error(row: JobDesktop, words: str) -> JobDesktop:
    """The row that says so besides; once per reason."""
    error = _add(row.error, words)
    return row if error == row.error else replace(row, error=error)


def _add(error: str, words: str) -> str:
    if words in error:
        return error
    return f"{error}; {words}" if error else words
