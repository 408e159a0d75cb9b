"""``rdms collection access``, and the option ``--user-group``: who may use a collection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli import output
from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Listing, Result

COLUMNS = ("allow", "name", "sid")

UserGroups = Annotated[
    list[str] | None,
    typer.Option(
        "--user-group",
        metavar="NAME",
        help="Who may use it: group or account of this service, Everyone, or a SID; repeatable.",
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(envvar="RDMS_STATE_DIR", help="Of the service, for names in --user-group."),
]


def add_commands(group: typer.Typer) -> None:
    """Add ``access`` to the collection group."""
    command(group, "access", opens=open_admin)(show_access)


def show_access(
    admin: AdminSession,
    alias: Annotated[str, typer.Argument(help="Alias of the collection, of either kind.")],
    user: Annotated[str | None, typer.Option(help="Say whether this account may use it.")] = None,
) -> Result:
    """List who may use a collection, besides administrators, in the order that decides."""
    if user is not None:
        return dict(admin.run("collection verdict", alias=alias, user=user))
    entries = admin.run("collection entries", alias=alias)
    if not entries:
        output.complain(f"{alias} has no descriptor: it is for administrators only")
    return Listing(entries, COLUMNS)


def make_descriptor(groups: Sequence[str], state_dir: Path | None) -> str:
    """SDDL that lets these groups in. RdmsError."""
    if state_dir is None:
        raise typer.BadParameter("--user-group needs --state-dir, where names are known")
    with open_admin(state_dir) as admin:
        return str(admin.run("collection descriptor", names=list(groups)))
