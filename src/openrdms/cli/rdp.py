"""``rdms rdp``: RDP files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from openrdms.cli.commands import command
from openrdms.cli.output import Result
from openrdms.model import rdp_file
from openrdms.model.errors import InvalidParameter
from openrdms.security import rdp_signature

group = typer.Typer(help="RDP files: verify a signature.")


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="rdp")


@command(group, "verify")
def verify(
    file: Annotated[Path, typer.Argument(help="A signed .rdp file.")],
    signer: Annotated[
        Path | None, typer.Option(help="Certificate (PEM) that it must be signed with.")
    ] = None,
) -> Result:
    """Say who has signed a file; refused when it was changed, or is not signed."""
    with file.open("rb") as stream:
        content = stream.read(rdp_file.MAX_FILE + 1)
    verified = rdp_signature.verify(rdp_file.parse(rdp_file.decode(content)))
    if signer and verified.signer not in _read(signer):
        raise rdp_signature.NotGenuine(f"it is not signed with the certificate in {signer}")
    return {
        "signer": verified.signer.subject.rfc4514_string(),
        "issuer": verified.signer.issuer.rfc4514_string(),
        "valid until": verified.signer.not_valid_after_utc.isoformat(),
        "sha256": verified.signer.fingerprint(hashes.SHA256()).hex(":"),
        "signed": ", ".join(verified.scope),
    }


def _read(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except ValueError as error:
        raise InvalidParameter("signer", f"{file}: {error}") from error
