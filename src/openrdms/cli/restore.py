"""``rdms restore``: a service's knowledge from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli.admin import StateDir
from openrdms.cli.commands import command
from openrdms.cli.output import Result


def register(app: typer.Typer) -> None:
    """Add the command to the ``rdms`` command."""
    command(app, "restore")(restore)


def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)], state_dir: StateDir
) -> Result:
    """Bring back what a backup holds, where no service runs; what was there is moved aside.

    Pooled desktops are prepared anew before anybody gets them; everybody signs in again.
    """
    from openrdms.app import backup as backups  # other commands need not wait for all this

    manifest = backups.restore(file.absolute(), state_dir.absolute())
    return {"made": manifest.made, "version": manifest.version, "files": [*manifest.files]}
