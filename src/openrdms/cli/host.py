"""``rdms host``: hypervisor hosts."""

from __future__ import annotations

import typer

from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Listing, Result

COLUMNS = ("name", "reachable", "accelerator", "capacity", "free_bytes", "os_version")

group = typer.Typer(help="Hypervisor hosts.")


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="host")


@command(group, "list", opens=open_admin)
def list_hosts(admin: AdminSession) -> Result:
    """List hosts."""
    return Listing(admin.run("host list"), COLUMNS)
