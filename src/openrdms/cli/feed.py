"""``rdms feed``: what users may open."""

from __future__ import annotations

from typing import Annotated

import typer

from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Listing, Result

COLUMNS = ("collection", "application", "kind", "title", "folder", "show", "modified")


def register(app: typer.Typer) -> None:
    """Add the command to the ``rdms`` command."""
    command(app, "feed", opens=open_admin)(show_feed)


def show_feed(
    admin: AdminSession,
    user: Annotated[str | None, typer.Option(help="What this account sees; all when none.")] = None,
) -> Result:
    """List what users may see and open: published applications and desktops."""
    return Listing(admin.run("feed", user=user), COLUMNS)
