"""``rdms audit``: whether hosts and records agree."""

from __future__ import annotations

import typer

from openrdms.cli import output
from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Listing, Result

COLUMNS = ("host", "kind", "name", "reason")

group = typer.Typer(help="Whether hosts and records agree.")


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="audit")


@command(group, "orphans", opens=open_admin)
def find_orphans(admin: AdminSession) -> Result:
    """List what no record or running job explains, and records without a VM or disk."""
    findings = admin.run("audit orphans")
    for host in findings["unreachable"]:
        output.complain(f"warning: {host} could not be asked")
    return Listing(findings["orphans"], COLUMNS)
