"""Signatures of RDP files: openssl takes ours, we take its, and nothing can be changed unseen."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrdms.model.errors import InvalidParameter
from openrdms.model.rdp_file import (
    Devices,
    Redirection,
    Setting,
    Target,
    Wishes,
    compose,
    decode,
    encode,
    find,
    parse,
    render,
)
from openrdms.security.rdp_signature import NotGenuine, RdpSigner, verify

KEYS = {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}
FILE = compose(
    Target("rds.example", 3389, "alice", "token", "Büro"),
    Wishes(Devices(Redirection(187), monitors=2, printer=True)),
)


@pytest.fixture(scope="module", params=KEYS)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with cert.pem and key.pem."""
    place = tmp_path_factory.mktemp("signer")
    make = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=signer", "-newkey"]
    make += [*KEYS[request.param], "-keyout", str(place / "key.pem")]
    subprocess.run([*make, "-out", str(place / "cert.pem")], check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def signer(files: Path) -> RdpSigner:
    return RdpSigner(files / "cert.pem", files / "key.pem")


def message(signed: list[Setting]) -> bytes:
    """What the signature is over, put together here once more."""
    scope = find(signed, "signscope")
    assert scope
    lines = [find(signed, name) for name in scope.value.split(",")]
    return "".join(f"{line}\r\n" for line in [*lines, scope]).encode("utf-16-le") + b"\0\0"


def test_signed_file_survives_its_way(signer: RdpSigner) -> None:
    signed = signer.sign(FILE)
    verified = verify(parse(decode(encode(render(signed)))))
    assert "CN=signer" in verified.signer.subject.rfc4514_string()
    assert {"Full Address", "LoadBalanceInfo", "RedirectDrives"} <= set(verified.scope)
    assert signer.sign(signed)[:-1] == signed[:-1], "what was signed is signed anew"


def test_openssl_takes_it(signer: RdpSigner, files: Path, tmp_path: Path) -> None:
    signed = signer.sign(FILE)
    content = base64.b64decode(signed[-1].value)
    assert content[:8] == bytes.fromhex("0100010001000000")
    assert int.from_bytes(content[8:12], "little") == len(content) - 12
    (tmp_path / "signature").write_bytes(content[12:])
    (tmp_path / "message").write_bytes(message(signed))
    check = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-out", "/dev/null"]
    check += ["-in", str(tmp_path / "signature"), "-content", str(tmp_path / "message")]
    subprocess.run([*check, "-CAfile", str(files / "cert.pem")], check=True, capture_output=True)


def test_a_signature_that_openssl_made_is_taken(files: Path, tmp_path: Path) -> None:
    plain = [Setting("full address", "s", "a.example"), Setting("signscope", "s", "Full Address")]
    (tmp_path / "message").write_bytes(message(plain))
    make = ["openssl", "smime", "-sign", "-binary", "-noattr", "-outform", "DER"]
    make += ["-signer", str(files / "cert.pem"), "-inkey", str(files / "key.pem")]
    made = subprocess.run(
        [*make, "-in", str(tmp_path / "message")], check=True, capture_output=True
    ).stdout
    content = bytes.fromhex("0100010001000000") + len(made).to_bytes(4, "little") + made
    value = base64.b64encode(content).decode()
    broken = "  ".join(value[at : at + 64] for at in range(0, len(value), 64)) + "  "
    for spelling in (value, broken):  # rdpsign.exe puts two blanks after 64 characters
        assert verify([*plain, Setting("signature", "s", spelling)]).scope == ("Full Address",)


def _replace(name: str, value: str) -> Callable[[list[Setting]], list[Setting]]:
    return lambda signed: [replace(one, value=value) if one.name == name else one for one in signed]


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (_replace("full address", "evil.example"), "was signed"),
        (_replace("gatewayhostname", "evil.example"), "was signed"),
        (_replace("signscope", "Full Address"), "not among"),
        (_replace("signature", "!"), "cannot be read"),
        (_replace("signature", base64.b64encode(bytes(40)).decode()), "cannot be read"),
        (lambda signed: signed[:-1], "missing"),
        (lambda signed: [one for one in signed if one.name != "signscope"], "missing"),
        (lambda signed: [one for one in signed if one.name != "audiomode"], "missing"),
        (lambda signed: [Setting("Full Address", "s", "evil"), *signed], "more than once"),
        (lambda signed: [*signed, Setting("kdcproxyname", "s", "evil")], "not among"),
    ],
)
def test_tampering_is_seen(
    signer: RdpSigner, tamper: Callable[[list[Setting]], list[Setting]], words: str
) -> None:
    with pytest.raises(NotGenuine, match=words):
        verify(tamper(signer.sign(FILE)))


def test_another_ones_signature(signer: RdpSigner) -> None:
    other = signer.sign([Setting("full address", "s", "evil.example")])[-1]
    with pytest.raises(NotGenuine, match="was signed"):
        verify([*signer.sign(FILE)[:-1], other])


def test_every_octet_of_what_is_signed_counts(signer: RdpSigner) -> None:
    signed = signer.sign(FILE)
    names = {name.casefold() for name in verify(signed).scope}

    @settings(max_examples=50)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        at = data.draw(st.sampled_from([i for i, s in enumerate(signed) if s.name in names]))
        value = data.draw(st.text(max_size=20).filter(lambda text: text != signed[at].value))
        changed = [*signed[:at], replace(signed[at], value=value), *signed[at + 1 :]]
        with pytest.raises((NotGenuine, UnicodeEncodeError)):
            verify(changed)

    check()


def test_a_key_of_another_certificate(files: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*make, "-out", str(other)], check=True, capture_output=True)
    with pytest.raises(InvalidParameter, match="rdp-key"):
        RdpSigner(files / "cert.pem", other)
    with pytest.raises(InvalidParameter, match="rdp-cert"):
        RdpSigner(tmp_path / "missing.pem", files / "key.pem")
    with pytest.raises(InvalidParameter, match="rdp-key"):
        RdpSigner(files / "cert.pem", files / "cert.pem")
