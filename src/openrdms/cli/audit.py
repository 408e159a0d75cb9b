"""``rdms audit``: who did what, and whether hosts and records agree."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from openrdms.cli import output
from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Listing, Result
from openrdms.model.errors import OperationFailed

COLUMNS = ("host", "kind", "name", "code", "reason", "remedy")
APART_COLUMNS = ("name", "host", "collection", "code", "reason", "since")
LOG_COLUMNS = ("time", "who", "address", "what", "about", "result", "reason")

group = typer.Typer(help="Who did what, and whether hosts and records agree.")


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


@command(group, "findings", opens=open_admin)
def list_set_apart(admin: AdminSession) -> Result:
    """List the desktops that nobody gets, and why: lost ones, unknown ones, failed ones."""
    return Listing(admin.run("audit findings"), APART_COLUMNS)


@command(group, "log", opens=open_admin)
def show_log(
    admin: AdminSession,
    since: Annotated[
        datetime | None, typer.Option(help="Local time of the first call to show.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only calls of this account.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Only calls on this CIM class.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest.", min=1)] = 100,
) -> Result:
    """List changes and refusals, with what came of them. 0 is success.

    "no result" means that it is still at work, "unknown" that the service ended over it.
    """
    begin = since.astimezone().isoformat() if since else None
    calls = admin.run("audit log", since=begin, user=user, class_name=class_name, limit=limit)
    return Listing([call | {"about": _about(call)} for call in calls], LOG_COLUMNS)


@command(group, "verify", opens=open_admin)
def verify(admin: AdminSession) -> Result:
    """Check that no record was changed, removed or added, and print what the chain ends with.

    Keep what is printed in another place: who has the whole state directory can make a new
    chain, but none with the same hash at the same record.
    """
    found = admin.run("audit verify")
    if found["problems"]:
        raise OperationFailed(f"the audit log is broken: {'; '.join(found['problems'])}")
    return {"records": found["count"], "hash": found["hash"]}


def _about(call: dict[str, Any]) -> str:
    """Keys, parameters and results, as far as they are on record."""
    values = {**call["on"], **call["parameters"], **call["outputs"]}
    return " ".join(f"{name}={value}" for name, value in values.items() if value is not None)
