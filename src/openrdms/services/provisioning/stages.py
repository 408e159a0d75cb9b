"""What is done to one desktop in each phase, and how it is taken back.

Every function here is safe to repeat: it may have been carried out, or half of it, when the
service died. What makes something is a coroutine, whose blocking work is one call with a token
of the host; what takes back is blocking, so that all of one desktop is undone in one go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openrdms import ports
from openrdms.jobs.halt import Halted
from openrdms.jobs.tokens import Kind
from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import GuestIdentity, VmSpec, VmState
from openrdms.model.job import JobAction, JobDesktop, Phase
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning.image_copies import ensure_image
from openrdms.services.provisioning.step_times import BOOT
from openrdms.services.provisioning.work import Work

Act = Callable[[Work, JobDesktop], Awaitable[None]]
Undo = Callable[[Work, JobDesktop], str]
"""Blocking; returns words for the report when something besides went wrong, else ""."""

AGENT_TIMEOUT = 5.0
RECHECK_TIMEOUT = 1.0
"""Seconds for a ping: after the host told of the agent, and when nobody told anything."""

RECHECK = 10.0
"""Seconds without an event after which the agent is asked all the same: hosts lose events."""

BOOT_SHARE = 20.0
"""Seconds that each other guest that is booting adds to the boot deadline: they share a host."""

IDENTITY_TIMEOUT = 120.0
MARK_TIMEOUT = 30.0


class PhaseFailed(errors.OperationFailed):
    """A phase failed for a reason that is known better than from what the host said."""

    def __init__(self, words: str, reason: ReasonCode) -> None:
        super().__init__(words)
        self.reason = reason


@dataclass(frozen=True)
class Stage:
    """One phase. ``undo`` is None where nothing is left behind."""

    phase: Phase
    do: Act
    undo: Undo | None = None
    of_started: bool = False
    """Only desktops that the job starts go through it; others get an identity at their first start.
    """


async def make_disk(work: Work, row: JobDesktop) -> None:
    """The disk of the row's generation, once its image is on the host."""
    await ensure_image(work, row)
    await work.on_host(row, Kind.CLONE, work.host(row).create_disk, work.spec(row))


async def make_next_disk(work: Work, row: JobDesktop) -> None:
    """Patch: as ``make_disk``, beside the disk in use."""
    await ensure_image(work, row)
    await work.on_host(row, Kind.CLONE, _make_next_disk, work.host(row), work.spec(row))


def _make_next_disk(host: ports.Host, spec: VmSpec) -> None:
    """An update that the records know nothing of, as they were restored since, may have made a disk
    of that name: then it goes, and so does what runs on it.
    """
    try:
        host.create_disk(spec)
    except errors.InvalidOperation:
        vm = host.find_vm(spec.name)
        if vm is None or vm.uuid != spec.uuid or not vm.is_over(spec.generation):
            raise
        host.destroy(spec.name, spec.uuid)
        host.create_disk(spec)


def delete_disk(work: Work, row: JobDesktop) -> str:
    """Undo of make_disk."""
    work.host(row).delete_disk(row.name, row.generation)
    return ""


def delete_next_disk(work: Work, row: JobDesktop) -> str:
    """Undo of make_next_disk. What such an earlier update left on that disk goes back first."""
    vm = work.host(row).find_vm(row.name)
    went_on = vm is not None and vm.is_over(row.generation)
    words = restore_disk(work, row) if went_on else ""
    delete_disk(work, row)
    return words


def delete_unused_disks(work: Work, row: JobDesktop) -> str:
    """What nobody needs any more: all disks once there is no VM, else all but the one in use.

    These are more than the record knows of when a pool was interrupted between two generations, or
    an update could not go back.
    """
    work.host(row).delete_unused_disks(row.name)
    return ""


async def define(work: Work, row: JobDesktop) -> None:
    """The VM over its disk."""
    await work.on_host(row, Kind.DEFINE, work.host(row).define, work.spec(row))


def undefine(work: Work, row: JobDesktop) -> str:
    """Undo of define."""
    work.host(row).undefine(row.name, row.uuid)
    return ""


async def start(work: Work, row: JobDesktop) -> None:
    """Start it, unless it runs already. A start that is under way when the job halts is aborted:
    what is taken back all the same is not waited for.
    """
    host = work.host(row)
    aborts: list[asyncio.Future[None]] = []

    def abort() -> None:
        what = (row, Kind.ABORT, host.abort_start, row.name, row.uuid)
        call = work.tools.tokens.submit(row.host, Kind.ABORT, work.act, *what)
        aborts.append(asyncio.wrap_future(call))

    try:
        with work.run.halt.telling(abort):
            await work.on_host(row, Kind.START, _start, host, row.name)
    except errors.RdmsError as error:
        if not aborts:
            raise
        raise Halted(begun=True) from error
    finally:
        await asyncio.gather(*aborts, return_exceptions=True)  # what fails is for the undo to meet


def _start(host: ports.Host, name: str) -> None:
    vm = host.find_vm(name)
    if vm is None or vm.state is not VmState.RUNNING:
        host.start(name)


def destroy(work: Work, row: JobDesktop) -> str:
    """Stop it at once; whoever works on it loses the session, the disk goes anyway."""
    work.host(row).destroy(row.name, row.uuid)
    return ""


REMOVALS: frozenset[Undo] = frozenset({delete_disk, undefine, delete_unused_disks})
"""What stops nothing."""


def removing(undo: Undo) -> Act:
    """One of REMOVALS as what a Delete does."""

    async def remove(work: Work, row: JobDesktop) -> None:
        await work.on_host(row, Kind.REMOVE, undo, work, row)

    return remove


async def await_agent(work: Work, row: JobDesktop) -> None:
    """Wait for the guest's agent: told by the host, confirmed by a ping.

    A guest that stops by itself meanwhile is started once more: its QEMU died, or its image does
    so at its first start. HostUnavailable when its host goes away; once that is back the guest has
    all its time again.
    """
    work.made.get(row.ordinal, int)()
    try:
        await _await_boot(work, row)
    except errors.VmNotRunning:
        await start(work, row)
        try:
            await _await_boot(work, row)
        except errors.VmNotRunning as stopped:
            words = "it stopped by itself again while it booted"
            raise PhaseFailed(words, ReasonCode.BOOT_STOPPED) from stopped


async def _await_boot(work: Work, row: JobDesktop) -> None:
    """VmNotRunning when it has stopped."""
    tools = work.tools
    begun = time.monotonic()
    deadline = begun
    guest = work.host(row).guest(row.name)
    usual = tools.times.estimate(row.host, BOOT)
    with (
        tools.agents.watch(row.host, row.name) as heard,
        work.waiting(row, ReasonCode.GUEST_BOOTING, "waits for the guest's agent", usual),
    ):
        while True:
            share = BOOT_SHARE * (tools.agents.count_watched(row.host) - 1)
            deadline = max(deadline, begun + tools.boot_deadline + share)
            now = time.monotonic()
            if now >= deadline:
                break
            await work.wait(heard, min(RECHECK, deadline - now))
            timeout = AGENT_TIMEOUT if heard.is_set() else RECHECK_TIMEOUT
            heard.clear()
            try:
                await work.in_guest(row, guest.ping, timeout)
            except errors.GuestUnreachable:
                continue
            tools.times.measure(row.host, BOOT, time.monotonic() - begun)
            return
    words = f"the guest agent did not answer within {deadline - begun:.0f} s"
    raise PhaseFailed(words, ReasonCode.BOOT_TIMED_OUT)


async def set_identity(work: Work, row: JobDesktop) -> None:
    """Hostname, machine-id and MAC."""
    identity = GuestIdentity(row.name, row.uuid.hex, row.mac)
    guest = work.host(row).guest(row.name)

    def identify() -> str:
        guest.set_identity(identity, IDENTITY_TIMEOUT)
        return guest.logon_mark(MARK_TIMEOUT)

    work.marks[row.ordinal] = await work.in_guest(row, identify)


def nothing(work: Work, row: JobDesktop) -> str:
    """For a phase whose undo is in the records alone."""
    return ""


async def exchange_disk(work: Work, row: JobDesktop) -> None:
    """Patch: put the new disk under a stopped desktop."""
    await work.on_host(row, Kind.DEFINE, _exchange, work.host(row), row, work.spec(row))


def _exchange(host: ports.Host, row: JobDesktop, spec: VmSpec) -> None:
    vm = host.find_vm(row.name)
    if vm is not None and vm.uuid != row.uuid:
        raise errors.OperationFailed(f"{row.name} on {host.name} is another VM than on record")
    # no orderly shutdown: a pooled desktop's disk is thrown away with the exchange
    host.destroy(spec.name)
    host.define(spec)


def restore_disk(work: Work, row: JobDesktop) -> str:
    """Patch: back to the old disk, running again if it ran.

    A pool that turned the desktop to another image may have been interrupted before it made what
    is on record as the old one: then that is made now.
    """
    host = work.host(row)
    if row.previous is None:
        return ""
    vm = host.find_vm(row.name)
    if vm is not None and vm.uuid != row.uuid:
        return ""
    if vm is None or not vm.is_over(row.previous):
        before = work.spec_of(row, row.previous, row.previous_image)
        host.destroy(row.name)
        try:
            host.define(before)
        except errors.NotFound:
            host.create_disk(before)
            host.define(before)
    return start_or_say(host, row.name) if row.was_running else ""


def start_or_say(host: ports.Host, name: str) -> str:
    """Start a VM again after an undo. One that will not start is taken back all the same."""
    try:
        _start(host, name)
    except errors.NotFound:
        return ""
    except (errors.HostUnavailable, errors.RecordsUnavailable):
        raise
    except errors.RdmsError as error:
        return f"{name} did not start again: {error}"
    return ""


def reason_of(error: errors.RdmsError) -> ReasonCode:
    """Why a desktop has failed, in one word."""
    if isinstance(error, errors.OutOfSpace):
        return ReasonCode.OUT_OF_SPACE
    if isinstance(error, PhaseFailed):
        return error.reason
    return ReasonCode.HOST_REFUSED


def starts_any(work: Work) -> bool:
    """Whether the job starts desktops at all."""
    return bool(work.job.options.get("start", True))


def starts(work: Work, row: JobDesktop) -> bool:
    """Whether the job starts this desktop: a Patch leaves off what was off."""
    if work.job.action is JobAction.PATCH:
        return row.was_running
    return starts_any(work)


def make_record(work: Work, row: JobDesktop) -> Desktop:
    """The desktop as the job leaves it."""
    return Desktop(
        name=row.name,
        host=row.host,
        uuid=row.uuid,
        mac=row.mac,
        collection=work.job.collection,
        home=work.job.collection,
        image=row.image,
        disk_kind=row.disk_kind,
        generation=row.generation,
        status=DesktopStatus.SUCCESS,
        identity_set=starts(work, row),
    )
