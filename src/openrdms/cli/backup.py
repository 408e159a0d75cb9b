"""``rdms backup``: what a service knows, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli import output
from openrdms.cli.admin import ExistingStateDir
from openrdms.cli.commands import command
from openrdms.cli.output import Result

WithImages = Annotated[bool, typer.Option("--images", help="With the files of golden images.")]


def register(app: typer.Typer) -> None:
    """Add the command to the ``rdms`` command."""
    command(app, "backup")(backup)


def backup(
    file: Annotated[Path, typer.Argument(help="Written whole or not at all, mode 0600.")],
    state_dir: ExistingStateDir,
    images: WithImages = False,
) -> Result:
    """Copy records, jobs, keys and certificates into a file, also while the service runs.

    Disks of VMs are not in it. It holds all the service's secrets: keep it as its directory.
    """
    from openrdms.app import backup as backups  # other commands need not wait for all this

    manifest = backups.back_up(state_dir.absolute(), file.absolute(), images=images)
    output.complain("keep it safe: it holds the service's keys and what proves passwords")
    return {"file": str(file), "schema": manifest.schema, "files": [*manifest.files]}
