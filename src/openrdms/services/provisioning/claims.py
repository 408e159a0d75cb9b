"""Desktops that a Delete job is about to remove: first nobody else may have them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from openrdms.jobs.tokens import Kind
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.job import JobDesktop
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning import stages
from openrdms.services.provisioning.records import with_records
from openrdms.services.provisioning.work import Work

_PART = 200
"""Desktops that are claimed in one transaction."""


async def claim_all(work: Work, rows: Sequence[JobDesktop]) -> None:
    """Have the desktops in WORK. What a pool prepares just now gets the claim alone."""
    names = [row.name for row in rows]
    for at in range(0, len(names), _PART):
        claimed = await with_records(_claim, work, names[at : at + _PART])
        work.preparing |= {use.name for use in claimed if use.use is Use.PREPARING}


def _claim(work: Work, names: Sequence[str]) -> list[DesktopUse]:
    now = work.tools.clock()

    def change(before: DesktopUse) -> DesktopUse | None:
        if before.use is Use.PREPARING:
            return replace(before, claim=work.job.guid)
        if before.use is Use.WORK and before.claim == work.job.guid:
            return None
        return replace(
            before,
            use=Use.WORK,
            since=now,
            claim=work.job.guid,
            mark="",
            holder="",
            asked=False,
            seen=False,
        )

    return work.tools.uses.change(names, change)


async def reserve(work: Work, name: str) -> None:
    """Keep a desktop from everybody else without taking it from who has it. A pool that prepares
    it lets go first. Nothing for a VM that is not on record.
    """

    def change(before: DesktopUse) -> DesktopUse | None:
        return None if before.claim == work.job.guid else replace(before, claim=work.job.guid)

    await with_records(work.tools.uses.change, [name], change)
    await _until_yielded(work, work.rows[0], name)


async def seize(work: Work, row: JobDesktop) -> None:
    """Have one desktop in WORK, whoever has it; a pool that prepares it lets go first."""
    await claim_all(work, [row])
    await _await_claimed(work, row)


async def _await_claimed(work: Work, row: JobDesktop) -> None:
    if row.name in work.preparing:
        await _await_pool(work, row)
        work.preparing.remove(row.name)


async def stop_for_good(work: Work, row: JobDesktop) -> None:
    """Stop a desktop that nobody else has in hand any more."""
    await _await_claimed(work, row)
    await work.on_host(row, Kind.STOP, stages.destroy, work, row)


async def _await_pool(work: Work, row: JobDesktop) -> None:
    await _until_yielded(work, row, row.name)
    await with_records(_claim, work, [row.name])


async def _until_yielded(work: Work, row: JobDesktop, name: str) -> None:
    """A pool that prepares the desktop called ``name`` yields when it sees the claim."""
    loop = asyncio.get_running_loop()
    yielded = asyncio.Event()

    def hear(use: DesktopUse) -> None:
        if use.name.casefold() == name.casefold() and use.use is not Use.PREPARING:
            loop.call_soon_threadsafe(yielded.set)

    end = work.tools.uses.subscribe(hear, lambda key: key == name.casefold())
    try:
        while await with_records(_is_prepared, work, name):
            with work.waiting(row, ReasonCode.DESKTOP_IN_WORK, "waits until its pool lets go"):
                await work.wait(yielded, None)
            yielded.clear()
    finally:
        end()


def _is_prepared(work: Work, name: str) -> bool:
    use = work.tools.store.find_use(name)
    return use is not None and use.use is Use.PREPARING
