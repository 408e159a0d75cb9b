"""``rdms certificate``: the certificate of the service's TLS listeners."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms.cli import output
from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Result

group = typer.Typer(help="The service's certificate: show, create, import.")

ExistingFile = Annotated[Path, typer.Option(exists=True, dir_okay=False)]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="certificate")


@command(group, "show", opens=open_admin)
def show(admin: AdminSession) -> Result:
    """Show for which names and how long it holds, and its fingerprint."""
    described: Result = admin.run("certificate show")
    return described


@command(group, "create", opens=open_admin)
def create(
    admin: AdminSession,
    name: Annotated[list[str], typer.Argument(help="Host names it shall hold for.")],
) -> Result:
    """Make another one, self-signed."""
    described: Result = admin.run("certificate create", names=name)
    output.complain("used from the service's next start on")
    return described


@command(group, "import", opens=open_admin)
def import_(admin: AdminSession, certificate: ExistingFile, key: ExistingFile) -> Result:
    """Use a certificate (PEM, with its chain) and its key."""
    described: Result = admin.run(
        "certificate import",
        certificate_file=str(certificate.absolute()),
        key_file=str(key.absolute()),
    )
    output.complain("used from the service's next start on")
    return described
