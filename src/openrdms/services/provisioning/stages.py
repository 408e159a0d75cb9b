"""What is done to one desktop in each phase, and how it is taken back.

Every function here is safe to repeat: it may have been carried out, or half of it, when the
service died. Blocking work on a host is one call in its lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import GuestIdentity, VmSpec, VmState
from openrdms.model.job import JobAction, JobDesktop, Phase
from openrdms.services.provisioning.work import Work

Act = Callable[[Work, JobDesktop], Awaitable[None]]

AGENT_TIMEOUT = 5.0
RECHECK_TIMEOUT = 1.0
"""Seconds for a ping: after the host told of the agent, and when nobody told anything."""

RECHECK = 10.0
"""Seconds without an event after which the agent is asked all the same: hosts lose events."""

BOOT_SHARE = 20.0
"""Seconds that each further guest of a batch adds to the boot deadline: they share a host."""

IDENTITY_TIMEOUT = 120.0


@dataclass(frozen=True)
class Stage:
    """One phase. ``undo`` is None where nothing is left behind."""

    phase: Phase
    do: Act
    undo: Act | None = None


async def make_disk(work: Work, row: JobDesktop) -> None:
    """The disk of the row's generation."""
    await work.on_host(row, lambda: work.host(row).create_disk(work.spec(row)))


async def delete_disk(work: Work, row: JobDesktop) -> None:
    """Undo of make_disk."""
    await work.on_host(row, work.host(row).delete_disk, row.name, row.generation)


async def define(work: Work, row: JobDesktop) -> None:
    """The VM over its disk."""
    await work.on_host(row, lambda: work.host(row).define(work.spec(row)))


async def undefine(work: Work, row: JobDesktop) -> None:
    """Undo of define."""
    await work.on_host(row, _undefine, work.host(row), row)


def _undefine(host: ports.Host, row: JobDesktop) -> None:
    if not _is_anothers(host, row):
        host.undefine(row.name)


def _is_anothers(host: ports.Host, row: JobDesktop) -> bool:
    """True when the VM of that name is not the row's: a stranger's that came before or after."""
    vm = host.find_vm(row.name)
    return vm is not None and vm.uuid != row.uuid


async def start(work: Work, row: JobDesktop) -> None:
    """Start it, unless it runs already."""
    await work.on_host(row, _start, work.host(row), row.name)


def _start(host: ports.Host, name: str) -> None:
    vm = host.find_vm(name)
    if vm is None or vm.state is not VmState.RUNNING:
        host.start(name)


async def destroy(work: Work, row: JobDesktop) -> None:
    """Stop it at once; whoever works on it loses the session, the disk goes anyway."""
    await work.on_host(row, _destroy, work.host(row), row)


def _destroy(host: ports.Host, row: JobDesktop) -> None:
    if not _is_anothers(host, row):
        host.destroy(row.name)


async def await_agent(work: Work, row: JobDesktop) -> None:
    """Wait for the guest's agent: told by the host, confirmed by a ping."""
    clock = asyncio.get_running_loop().time
    patience = work.tools.boot_deadline + BOOT_SHARE * (len(work.rows) - 1)
    deadline = clock() + patience
    guest = work.host(row).guest(row.name)
    with work.tools.agents.watch(row.host, row.name) as heard:
        while clock() < deadline:
            await work.wait(heard, min(RECHECK, deadline - clock()))
            timeout = AGENT_TIMEOUT if heard.is_set() else RECHECK_TIMEOUT
            heard.clear()
            try:
                await work.in_guest(row, guest.ping, timeout)
            except (errors.GuestUnreachable, errors.HostUnavailable):
                continue
            return
    raise errors.OperationFailed(f"the guest agent did not answer within {patience:.0f} s")


async def set_identity(work: Work, row: JobDesktop) -> None:
    """Hostname, machine-id and MAC. A desktop left off gets them at its first start."""
    if not starts(work, row):
        return
    identity = GuestIdentity(row.name, row.uuid.hex, row.mac)
    guest = work.host(row).guest(row.name)
    await work.in_guest(row, guest.set_identity, identity, IDENTITY_TIMEOUT)


async def nothing(work: Work, row: JobDesktop) -> None:
    """For a phase whose undo is in the rows alone."""


async def exchange_disk(work: Work, row: JobDesktop) -> None:
    """Patch: put the new disk under a stopped desktop."""
    await work.on_host(row, lambda: _exchange(work.host(row), row, work.spec(row)))


def _exchange(host: ports.Host, row: JobDesktop, spec: VmSpec) -> None:
    if _is_anothers(host, row):
        raise errors.OperationFailed(f"{row.name} on {host.name} is another VM than on record")
    # no orderly shutdown: a pooled desktop's disk is thrown away with the exchange
    host.destroy(spec.name)
    host.define(spec)


async def restore_disk(work: Work, row: JobDesktop) -> None:
    """Patch: back to the old disk, running again if it ran."""
    restored = await work.on_host(row, lambda: _restore(work, row))
    if restored and row.was_running:
        await start_or_note(work, row, row.name)


def _restore(work: Work, row: JobDesktop) -> bool:
    host = work.host(row)
    if row.previous is None or _is_anothers(host, row):
        return False
    host.destroy(row.name)
    host.define(work.spec_of(row, row.previous, row.previous_image))
    return True


async def start_or_note(work: Work, row: JobDesktop, name: str) -> None:
    """Start a VM again after an undo. One that will not start is taken back all the same."""
    try:
        await work.on_host(row, _start, work.host(row), name)
    except errors.NotFound:
        return
    except errors.HostUnavailable:
        raise
    except errors.RdmsError as error:
        await work.note(row, f"{name} did not start again: {error}")


async def start_again(work: Work, row: JobDesktop) -> None:
    """Patch: start a desktop that ran."""
    if starts(work, row):
        await start(work, row)


async def await_agent_again(work: Work, row: JobDesktop) -> None:
    """Patch: the agent of a desktop that ran."""
    if starts(work, row):
        await await_agent(work, row)


async def delete_old_disk(work: Work, row: JobDesktop) -> None:
    """Patch: what nobody needs once the new disk is in use."""
    if row.previous is not None:
        await work.on_host(row, work.host(row).delete_disk, row.name, row.previous)


def starts(work: Work, row: JobDesktop) -> bool:
    """Whether the job starts this desktop: a Patch leaves off what was off."""
    if work.job.action is JobAction.PATCH:
        return row.was_running
    return bool(work.job.options.get("start", True))


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
