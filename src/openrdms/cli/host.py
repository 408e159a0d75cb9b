"""``rdms host``: hypervisor hosts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Listing, Result

COLUMNS = ("name", "reachable", "accelerator", "capacity", "free_bytes", "os_version")

group = typer.Typer(help="Hypervisor hosts: list, look at a VM's screen.")


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="host")


@command(group, "list", opens=open_admin)
def list_hosts(admin: AdminSession) -> Result:
    """List hosts."""
    return Listing(admin.run("host list"), COLUMNS)


@command(group, "forget", opens=open_admin)
def forget_host(
    admin: AdminSession, host: Annotated[str, typer.Argument(help="A host that is away for good.")]
) -> Result:
    """Give up a dead host: its desktops go from the records, and jobs go on without it.

    Should it come back, its VMs are recorded as unknown ones that nobody gets.
    """
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
