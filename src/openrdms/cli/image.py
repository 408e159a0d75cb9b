"""``rdms image``: golden images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from openrdms.cli.admin import AdminSession, open_or_make_admin
from openrdms.cli.commands import command
from openrdms.cli.job_plan import DryRun
from openrdms.cli.output import Document, Listing, Result
from openrdms.model.image import DiskBus, Firmware, GuestOs

COLUMNS = ("name", "version", "os", "firmware", "memory_mib", "vcpus", "disk_bus", "source")

REMOVAL_COLUMNS = ("name", "version", "kept_for", "copies_left_on", "freed_bytes")
DIFF_COLUMNS = ("change", "kind", "name", "details")

group = typer.Typer(help="Golden images: build, import, list, compare, remove.")

Memory = Annotated[int | None, typer.Option("--memory", min=16, help="Memory of desktops, MiB.")]
DiskBusOption = Annotated[
    DiskBus | None, typer.Option("--disk-bus", help="Bus of the system disk.")
]
Vcpus = Annotated[int | None, typer.Option(min=1, help="Processors of desktops.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="image")


@command(group, "list", opens=open_or_make_admin)
def list_images(admin: AdminSession) -> Result:
    """List images, all versions."""
    return Listing(admin.run("image list"), COLUMNS)


@command(group, "build", opens=open_or_make_admin)
def build(
    admin: AdminSession,
    name: Annotated[str, typer.Argument(help="Name of the image; a new version of it is made.")],
    variant: Annotated[str, typer.Option(help="tiny, or desktop: a graphical session.")],
    memory: Memory = None,
    vcpus: Vcpus = None,
    disk_bus: DiskBusOption = None,
    autologin: Annotated[
        bool, typer.Option(help="Log alice on at once; else users log on themselves.")
    ] = True,
) -> Result:
    """Build an image from Debian packages."""
    options: dict[str, object] = {"memory_mib": memory, "vcpus": vcpus, "disk_bus": disk_bus}
    options["autologin"] = autologin
    return dict(admin.run("image build", name=name, variant=variant, options=options))


@command(group, "import", opens=open_or_make_admin)
def import_file(
    admin: AdminSession,
    file: Annotated[
        Path, typer.Argument(help="qcow2, VHDX, VMDK or raw disk.", exists=True, dir_okay=False)
    ],
    name: Annotated[str, typer.Option(help="Name of the image; a new version of it is made.")],
    os: Annotated[GuestOs | None, typer.Option(help="What is installed on it.")] = None,
    firmware: Annotated[Firmware | None, typer.Option(help="How it starts.")] = None,
    disk_bus: DiskBusOption = None,
    memory: Memory = None,
    vcpus: Vcpus = None,
) -> Result:
    """Import a disk file."""
    options: dict[str, object] = {"memory_mib": memory, "vcpus": vcpus, "disk_bus": disk_bus}
    options |= {"os": os, "firmware": firmware}
    return dict(admin.run("image import", file=str(file.absolute()), name=name, options=options))


@command(group, "remove", opens=open_or_make_admin)
def remove(
    admin: AdminSession,
    name: Annotated[str, typer.Argument(help="NAME@VERSION; NAME for all that nobody needs.")],
    dry_run: DryRun = False,
) -> Result:
    """Remove versions of an image, and the copies of them on hosts.

    What desktops, collections, jobs or scheduled updates need is kept.
    """
    command_name = "image plan-removal" if dry_run else "image remove"
    return Listing(admin.run(command_name, name=name), REMOVAL_COLUMNS)


@command(group, "diff", opens=open_or_make_admin)
def compare(
    admin: AdminSession,
    before: Annotated[str, typer.Argument(metavar="A", help="NAME@VERSION.")],
    after: Annotated[str, typer.Argument(metavar="B", help="NAME@VERSION.")],
) -> Result:
    """List the packages and files that differ from image version A to B; nothing is started."""
    found = admin.run("image diff", before=before, after=after)
    packages = [
        {**one, "kind": "package", "details": _versions(one)} for one in found["packages"] or []
    ]
    files = [{**one, "name": one["path"], "details": _what(one)} for one in found["files"]]
    told = "unknown" if found["packages"] is None else len(packages)
    facts = {"packages": told, "files": len(files)}
    return Document(found, facts, [*packages, *files], DIFF_COLUMNS)


def _versions(package: dict[str, Any]) -> str:
    """Both versions of what changed, else the one there is."""
    return " -> ".join(filter(None, (package["before"], package["after"])))


def _what(file: dict[str, Any]) -> str:
    what = ", ".join(file["what"])
    return what or f"{file['size']} bytes"
