"""``rdms host``: hypervisor hosts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.job_plan import DryRun, describe_plan
from openrdms.cli.output import Listing, Result

COLUMNS = (
    *("name", "reachable", "degraded", "reason", "desktops", "capacity", "used_mib", "memory_mib"),
    *("free_bytes", "concurrency", "idle_count", "drain", "accelerator"),
)

group = typer.Typer(help="Hypervisor hosts: list, set, drain, forget, look at a VM's screen.")


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="host")


@command(group, "list", opens=open_admin)
def list_hosts(admin: AdminSession) -> Result:
    """List hosts, how they are and what was set for them; - is "as the service sees fit"."""
    return Listing(admin.run("host list"), COLUMNS)


@command(group, "set", opens=open_admin)
def set_host(
    admin: AdminSession,
    name: Annotated[str, typer.Argument(help="Name of the host.")],
    concurrency: Annotated[
        str, typer.Option(metavar="N|auto", help="Desktops made there at a time, 1 to 100.")
    ] = "",
    idle_count: Annotated[
        str, typer.Option(metavar="N|auto", help="Desktops kept running there that nobody uses.")
    ] = "",
) -> Result:
    """Set what a host does at a time, and how many desktops wait there for users."""
    given = {"concurrency": concurrency, "idle_count": idle_count}
    settings = {key: _number(key, text) for key, text in given.items() if text}
    if not settings:
        raise typer.BadParameter("what? Give --concurrency or --idle-count")
    return dict(admin.run("host set", host=name, settings=settings))


@command(group, "drain", opens=open_admin)
def drain_host(
    admin: AdminSession,
    host: Annotated[str, typer.Argument(help="Name of the host.")],
    off: Annotated[bool, typer.Option("--off", help="It may have desktops again.")] = False,
    dry_run: DryRun = False,
) -> Result:
    """Empty a host: it gets no desktops, and those on it move to hosts that share its disks.

    They move while they run. What cannot move stays off, or until its user has logged off; `rdms
    host list` tells how many are left.
    """
    if dry_run:
        return describe_plan(admin.run("host plan-drain", host=host, drain=not off))
    return dict(admin.run("host set", host=host, settings={"drain": not off}))


@command(group, "forget", opens=open_admin)
def forget_host(
    admin: AdminSession,
    host: Annotated[str, typer.Argument(help="A host that is away for good.")],
    dry_run: DryRun = False,
) -> Result:
    """Give up a dead host: its desktops go from the records, and jobs go on without it.

    Should it come back, its VMs are recorded as unknown ones that nobody gets.
    """
    if dry_run:
        return describe_plan(admin.run("host plan-forgetting", host=host))
    return Listing([{"name": name} for name in admin.run("host forget", host=host)], ("name",))


@command(group, "screenshot", opens=open_admin)
def take_screenshot(
    admin: AdminSession,
    vm: Annotated[str, typer.Argument(help="Name of the VM.")],
    file: Annotated[Path, typer.Argument(help="PNG file to write.", dir_okay=False)],
) -> Result:
    """Write what a VM's screen shows to a PNG file."""
    file.write_bytes(base64.b64decode(admin.run("host screenshot", vm=vm)))
    return f"{file}"


def _number(key: str, text: str) -> int | None:
    """None for "auto"."""
    if text == "auto":
        return None
    if not text.isdecimal():
        raise typer.BadParameter(f"--{key.replace('_', '-')} {text!r} is neither a number nor auto")
    return int(text)
