"""A job in this process on hosts that are not there: for what it waits for, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from openrdms.jobs.halt import Halt
from openrdms.jobs.tokens import Tokens
from openrdms.model.collection import CollectionState
from openrdms.model.host import DiskKind
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.model.job import Job, JobAction, JobDesktop, StepTime
from openrdms.services.alone import ALONE
from openrdms.services.provisioning.placement import make_mac, make_uuid
from openrdms.services.provisioning.step_times import StepTimes
from openrdms.services.provisioning.work import Tools, Work

HOST = "host1"
GUID = "{00000000-0000-0000-0000-000000000001}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = ImageVersion(
    name="tiny",
    version=1,
    disk=Path("/tiny.qcow2"),
    virtual_bytes=1,
    sha256="",
    os=GuestOs.LINUX,
    firmware=Firmware.BIOS,
    memory_mib=1,
    vcpus=1,
    disk_bus=DiskBus.VIRTIO,
    created=NOW,
)


class FakeStore:
    """Keeps what was measured, and lets everything else be written."""

    def __init__(self, times: Mapping[str, float]) -> None:
        self._times = [StepTime(HOST, kind, seconds, 1) for kind, seconds in times.items()]

    def list_step_times(self) -> Sequence[StepTime]:
        """What the test says was measured."""
        return self._times

    def put_job_desktops(self, *args: object, **fields: object) -> None:
        """It is written."""


@dataclass
class FakeHost:
    """Has no image until it was copied there; ``copy`` is told of the progress's receiver."""

    name: str = HOST
    copy: Callable[[Callable[[float], None]], None] = lambda progress: None
    images: set[str] = field(default_factory=set)
    disks: list[str] = field(default_factory=list)

    def has_image(self, image: ImageVersion) -> bool:
        """Once it was copied."""
        return image.reference in self.images

    def copy_image(
        self,
        image: ImageVersion,
        go_on: Callable[[], bool],
        progress: Callable[[float], None],
    ) -> None:
        """Do what the test says, and have it."""
        self.copy(progress)
        self.images.add(image.reference)

    def create_disk(self, spec: Any) -> None:
        """Note it."""
        self.disks.append(spec.name)


def with_slots(slots: int, stops: int, removals: int) -> Callable[[str], Any]:
    """For Tokens: hosts on which so many calls at once are worth while."""
    return lambda _: SimpleNamespace(slots=slots, stops=stops, removals=removals)


def _find_image(location: str) -> ImageVersion:
    return IMAGE


def make_tools(
    times: Mapping[str, float],
    *hosts: FakeHost,
    slots: int = 1,
    factor: int = 100,
) -> Tools:
    """``times`` in seconds are what calls took until now, by their kind."""
    store: Any = FakeStore(times)
    measured = StepTimes(store)
    measured.load()
    by_name = {host.name: host for host in hosts}
    held = cast("Any", SimpleNamespace(get=by_name.__getitem__, all=lambda: list(hosts)))
    nothing = cast("Any", None)
    return Tools(
        store=store,
        hosts=held,
        health=cast(
            "Any", SimpleNamespace(note_success=lambda host: None, is_away=lambda host: False)
        ),
        images=cast("Any", SimpleNamespace(resolve=_find_image, foresee=_find_image)),
        uses=nothing,
        agents=nothing,
        tokens=Tokens(with_slots(slots, 2 * slots, slots), lambda _: factor),
        factor=lambda _: factor,
        times=measured,
        clock=lambda: NOW,
        members=ALONE,
        staging=Path("/nowhere"),
        boot_deadline=30.0,
    )


def make_job(action: JobAction = JobAction.CREATE, document: str = "", **options: Any) -> Job:
    """One that runs."""
    return Job(
        guid=GUID,
        collection="Pool",
        action=action,
        state=CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS,
        document=document,
        options=options,
        started=NOW,
        modified=NOW,
    )


def make_rows(count: int, host: str = HOST, **fields: Any) -> list[JobDesktop]:
    """Of so many desktops."""
    first = JobDesktop(
        job=GUID,
        ordinal=0,
        name="",
        host=host,
        uuid=make_uuid(GUID, "vd"),
        mac=make_mac(make_uuid(GUID, "vd"), set()),
        image=IMAGE.reference,
        disk_kind=DiskKind.LINKED,
        generation=1,
    )
    return [
        replace(first, ordinal=ordinal, name=f"vd-{ordinal}", **fields) for ordinal in range(count)
    ]


def make_work(tools: Tools, job: Job, rows: Iterable[JobDesktop]) -> Work:
    """The job as it runs here. On an event loop."""
    run: Any = SimpleNamespace(guid=job.guid, halt=Halt())
    work = Work(tools, run, job)
    work.rows = {row.ordinal: row for row in rows}
    return work


async def until(check: Callable[[], object]) -> None:
    """Return when it is so, without keeping the loop from anything."""
    while not check():  # noqa: ASYNC110  most of it is true by what threads do
        await asyncio.sleep(0.01)
