"""What is to be undone of desktops, as their host's tokens see it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from fakes.job_work import FakeHost, make_job, make_rows, make_tools, make_work, until
from openrdms.jobs.tokens import Kind
from openrdms.model.job import JobAction
from openrdms.services.provisioning import stages
from openrdms.services.provisioning.recipes import STAGES
from openrdms.services.provisioning.undoing import Undoing, Undoings


@dataclass
class Hanging(FakeHost):
    """What runs stops when the test says so."""

    stop: threading.Event = field(default_factory=threading.Event)
    stopped: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def destroy(self, vm: str, uuid: UUID) -> None:
        assert self.stop.wait(60)
        self.stopped.append(vm)

    def delete_disk(self, vm: str, generation: int) -> None:
        self.removed.append(vm)


def test_what_is_off_waits_for_nothing_that_is_stopped() -> None:
    host = Hanging()

    async def take_back() -> None:
        work = make_work(make_tools({}, host, factor=1), make_job(), make_rows(3))
        undoings = Undoings(work, lambda undoing: None)
        undos = {0: ("start", stages.destroy), 1: ("start", stages.destroy)}
        off = ("disk", stages.delete_disk)
        undoings.add(Undoing(row, [undos.get(row.ordinal, off)]) for row in make_rows(3))
        await until(lambda: host.removed)
        assert host.stopped == []
        host.stop.set()
        await undoings.finish()

    asyncio.run(asyncio.wait_for(take_back(), 60))
    names = [row.name for row in make_rows(3)]
    assert (host.removed, sorted(host.stopped)) == (names[2:], names[:2])


@pytest.mark.parametrize(
    ("action", "phases", "kind"),
    [
        (JobAction.CREATE, 1, Kind.REMOVE),
        (JobAction.CREATE, 2, Kind.REMOVE),
        (JobAction.CREATE, 3, Kind.STOP),
        (JobAction.CREATE, 5, Kind.STOP),
        (JobAction.PATCH, 1, Kind.STOP),  # what runs on a disk of an earlier update is stopped
    ],
)
def test_what_never_ran_is_removed_and_all_else_is_stopped_first(
    action: JobAction, phases: int, kind: Kind
) -> None:
    begun = reversed(STAGES[action][:phases])
    undos = [(stage.phase, stage.undo) for stage in begun if stage.undo]
    assert Undoing(make_rows(1)[0], undos).kind is kind
