"""``rdms database``: the one database of several services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli import serve_options as options
from openrdms.cli.commands import command
from openrdms.cli.output import Result
from openrdms.model import errors

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


@command(group, "migrate")
def migrate(
    source: Annotated[
        str,
        typer.Option("--from", metavar="sqlite:FILE", help="records.sqlite of a state directory."),
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="postgresql://USER@SERVER/DATABASE", help="A new one.")
    ],
    shared_key: Annotated[Path, typer.Option(help="The key of all services that will have it.")],
    database_password_file: options.DatabasePasswordFile = None,
) -> Result:
    """Move what one service has, which does not run, to a database for several; jobs go on there.

    What is left in the state directory is not used again.
    """
    from openrdms.app import moving  # other commands need not wait for all this

    password_file = database_password_file and database_password_file.absolute()
    state_dir = _find_state_dir(source)
    counts = moving.move(state_dir, target, password_file, shared_key.absolute())
    return {"state_dir": str(state_dir), "rows": sum(counts.values()), "tables": counts}


def _find_state_dir(source: str) -> Path:
    scheme, _, place = source.partition(":")
    file = Path(place).absolute()
    if scheme != "sqlite" or file.name != "records.sqlite":
        raise errors.InvalidParameter("--from", "must be sqlite:STATE_DIR/records.sqlite")
    return file.parent
