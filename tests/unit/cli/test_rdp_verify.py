"""`rdms rdp verify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openrdms import cli
from openrdms.model.rdp_file import Setting, encode, render
from openrdms.security import certificate
from openrdms.security.rdp_signature import RdpSigner


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    made = certificate.ensure(tmp_path / "tls", "publisher.example")
    settings = [Setting("full address", "s", "rds.example"), Setting("audiomode", "i", "0")]
    file = tmp_path / "office.rdp"
    file.write_bytes(encode(render(RdpSigner(made.certificate, made.key).sign(settings))))
    return file


def verify(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(cli.build(["rdp"]), ["rdp", "verify", *map(str, arguments)])
    return done.exit_code, done.output


def test_who_signed_it(signed: Path) -> None:
    signer = signed.parent / "tls" / "certificate.pem"
    code, text = verify(signed, "--signer", signer, "--json")
    assert code == 0, text
    assert json.loads(text)["signer"] == "CN=publisher.example"


def test_another_signer(signed: Path, tmp_path: Path) -> None:
    other = certificate.ensure(tmp_path / "other", "other.example")
    code, text = verify(signed, "--signer", other.certificate)
    assert (code, "not signed with" in text) == (1, True)


@pytest.mark.parametrize("octets", [(b"r\0d\0s\0", b"e\0v\0l\0"), (b"signature", b"unsigned")])
def test_a_changed_file(signed: Path, octets: tuple[bytes, bytes]) -> None:
    was, becomes = (part if b"\0" in part else part.decode().encode("utf-16-le") for part in octets)
    content = signed.read_bytes()
    assert was in content
    signed.write_bytes(content.replace(was, becomes))
    assert verify(signed)[0] == 1
