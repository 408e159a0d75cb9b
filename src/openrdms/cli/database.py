"""``rdms database``: the one database of several services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli.commands import command
from openrdms.cli.output import Result

group = typer.Typer(help="The database of several services.")


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="database")


@command(group, "key")
def key(file: Annotated[Path, typer.Argument(help="A new file.", dir_okay=False)]) -> Result:
    """Make the key that all services on one database have: copy it to each machine."""
    from openrdms.security.shared_key import make_key

    make_key(file)
    return {"file": str(file)}
