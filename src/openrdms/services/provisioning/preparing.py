"""ProvisioningPrepJob: an image version from the disk of a VM, which itself stays as it is.

The disk is copied while the VM is off. A VM of ours without network boots an overlay of the
copy, is generalised through its agent and shut down; the overlay, flattened, is the image. The
job's one row is that VM.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import replace
from pathlib import Path

from openrdms import ports
from openrdms.jobs.halt import Halted
from openrdms.jobs.tokens import Kind
from openrdms.model import errors
from openrdms.model.host import Ownership, VmSpec
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.model.job import JobDesktop, Phase
from openrdms.services.provisioning import claims, stages
from openrdms.services.provisioning.stages import Stage, Undo
from openrdms.services.provisioning.work import Work

SYSPREP_PHASES = frozenset(
    {
        Phase.DISK,
        Phase.DEFINE,
        Phase.START,
        Phase.AGENT,
        Phase.GENERALISE,
        Phase.CAPTURE,
    }
)
"""Left out when bSysPrep is false."""

SHUT_DOWN_DEADLINE = 600.0
_SHUT_DOWN_SLICE = 10.0
"""Seconds for one request to shut down: between two a cancel is seen."""

_SHUT_DOWN_PAUSE = 0.2
"""Seconds until the next request: a host may refuse one at once."""

_GOING_DOWN = 60.0
"""Seconds for a guest that was asked to shut down before the job was taken back."""

GENERALISE_TIMEOUT = 1800.0
"""Sysprep takes minutes."""


async def shut_down(work: Work, row: JobDesktop) -> None:
    """Stop the VM, if it runs, in an orderly way: its disk is to be whole."""
    await claims.reserve(work, _vm(work))
    if row.was_running:
        await _shut_down(work, row, _vm(work))


async def _shut_down(work: Work, row: JobDesktop, name: str) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + SHUT_DOWN_DEADLINE
    asked = False
    while True:
        try:
            await work.on_host(row, Kind.STOP, work.host(row).shut_down, name, _SHUT_DOWN_SLICE)
            return
        except errors.OperationFailed:
            if clock() > deadline:
                raise
        except Halted as halted:
            halted.begun = asked
            raise
        asked = True
        await asyncio.sleep(_SHUT_DOWN_PAUSE)


async def start_again(work: Work, row: JobDesktop) -> None:
    """Start the VM if it ran before."""
    if row.was_running:
        await work.on_host(row, Kind.START, work.host(row).start, _vm(work))


def bring_back(work: Work, row: JobDesktop) -> str:
    """Undo of shut_down. A guest that was asked may be on its way down still: that comes first,
    or it would go off after the start that found it running.
    """
    if not row.was_running:
        return ""
    try:
        if row.done is None:
            work.host(row).shut_down(_vm(work), _GOING_DOWN)
    except errors.OperationFailed:
        pass  # it stays on, then
    except errors.NotFound:
        return ""
    return stages.start_or_say(work.host(row), _vm(work))


async def export(work: Work, row: JobDesktop) -> None:
    """Copy the VM's disk, flattened."""
    await work.on_host(row, Kind.CLONE, _export, work.host(row), _vm(work), _copy(work))


def _export(host: ports.Host, vm: str, target: Path) -> None:
    """A file of the final name is whole."""
    if target.exists():
        return
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    host.export_disk(vm, part)
    part.rename(target)


def drop_files(work: Work, row: JobDesktop) -> str:
    """Undo of export and capture."""
    shutil.rmtree(_copy(work).parent, ignore_errors=True)
    return ""


async def make_overlay(work: Work, row: JobDesktop) -> None:
    """A disk over the copy, for the VM that is generalised."""
    await work.on_host(row, Kind.CLONE, lambda: work.host(row).create_disk(_spec(work, row)))


async def define(work: Work, row: JobDesktop) -> None:
    """That VM, without network."""
    await work.on_host(row, Kind.DEFINE, lambda: work.host(row).define(_spec(work, row)))


async def generalise(work: Work, row: JobDesktop) -> None:
    """Take out what must not be cloned."""
    guest = work.host(row).guest(row.name)
    await work.in_guest(row, guest.generalise, GENERALISE_TIMEOUT)


async def capture(work: Work, row: JobDesktop) -> None:
    """Shut it down and flatten its disk."""
    await _shut_down(work, row, row.name)
    await work.on_host(row, Kind.CLONE, _export, work.host(row), row.name, _captured(work))


async def seal(work: Work, row: JobDesktop) -> None:
    """Record the result as an image version, found by its ExportToLocation."""
    location = str(work.job.options["export_to"])
    sysprep = bool(work.job.options["sysprep"])

    def take_in() -> None:
        image = _image(work, _captured(work) if sysprep else _copy(work))
        image = replace(image, generalised=sysprep)
        work.tools.images.seal(image, location=location, job=work.job.guid)

    await work.on_host(row, Kind.CLONE, take_in)


def unseal(work: Work, row: JobDesktop) -> str:
    """Undo of seal."""
    work.tools.images.discard(work.job.guid)
    return ""


def _vm(work: Work) -> str:
    return str(work.job.options["vm"])


def _copy(work: Work) -> Path:
    return work.tools.staging / work.job.guid.strip("{}") / "copy.qcow2"


def _captured(work: Work) -> Path:
    return _copy(work).with_name("disk.qcow2")


def _spec(work: Work, row: JobDesktop) -> VmSpec:
    return VmSpec(
        name=row.name,
        uuid=row.uuid,
        mac=row.mac,
        image=_image(work, _copy(work)),
        disk_kind=row.disk_kind,
        generation=row.generation,
        ownership=Ownership(work.job.collection, work.job.guid, row.image),
        network=False,
    )


def _image(work: Work, disk: Path) -> ImageVersion:
    """``disk`` as an image: run as the VM's own image says, else as its definition does."""
    options = work.job.options
    image = ImageVersion(
        name=image_name(_vm(work)),
        version=0,
        disk=disk,
        virtual_bytes=_virtual_bytes(disk) if disk.exists() else 0,
        sha256="",
        os=GuestOs(str(options["os"])),
        firmware=Firmware(str(options["firmware"])),
        memory_mib=int(options["memory_mib"]),
        vcpus=int(options["vcpus"]),
        disk_bus=DiskBus(str(options["disk_bus"])),
        created=work.tools.clock(),
        source=f"prep {options['host']}/{options['vm']}",
    )
    if not options["parent"]:
        return image
    parent = work.tools.images.resolve(f"image:{options['parent']}")
    return replace(
        image,
        parent=parent.reference,
        os=parent.os,
        firmware=parent.firmware,
        disk_bus=parent.disk_bus,
        kernel=parent.kernel,
        initrd=parent.initrd,
        cmdline=parent.cmdline,
    )


def image_name(vm: str) -> str:
    """The name of images made from that VM; never that of a built or imported one by chance."""
    return "prep-" + re.sub(r"[^A-Za-z0-9._-]", "-", vm)[:50]


def _virtual_bytes(disk: Path) -> int:
    """Size field of a qcow2 header (QEMU docs/interop/qcow2, bytes 24 to 31)."""
    with disk.open("rb") as file:
        return int.from_bytes(file.read(32)[24:], "big")


STAGES = (
    Stage(Phase.SHUT_DOWN, shut_down, bring_back),
    Stage(Phase.EXPORT, export, drop_files),
    Stage(Phase.RESTART, start_again),
    Stage(Phase.DISK, make_overlay, stages.delete_disk),
    Stage(Phase.DEFINE, define, stages.undefine),
    Stage(Phase.START, stages.start, stages.destroy),
    Stage(Phase.AGENT, stages.await_agent),
    Stage(Phase.GENERALISE, generalise),
    Stage(Phase.CAPTURE, capture),
    Stage(Phase.SEAL, seal, unseal),
)

CLEANING: tuple[Undo, ...] = (stages.destroy, stages.undefine, stages.delete_disk, drop_files)
