"""The TLS certificate: the administrator's own, or one made at first start."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from openrdms.model.errors import InvalidParameter, NotFound

LIFETIME = timedelta(days=5 * 365)


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate and its private key."""

    certificate: Path
    key: Path


def ensure(directory: Path, host_name: str | None = None, listen: str = "") -> Certificate:
    """The certificate in ``directory``, self-signed for this host when there is none yet.

    It also holds for ``listen``, where that is an address, and for loopback.
    Both files there are used as they are: replace them to bring your own certificate.
    """
    files = Certificate(directory / "certificate.pem", directory / "key.pem")
    if not (files.certificate.exists() and files.key.exists()):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(files, [_ascii(host_name or socket.getfqdn())], listen)
    return files


def replace(directory: Path, certificate_pem: bytes, key_pem: bytes) -> None:
    """Use another certificate (the chain, leaf first) and its key from the next start on.

    InvalidParameter when they cannot be read or do not belong together.
    """
    try:
        leaf = x509.load_pem_x509_certificates(certificate_pem)[0]
    except ValueError as error:
        raise InvalidParameter("certificate", f"is no PEM certificate: {error}") from error
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidParameter("key", f"is no PEM key without a password: {error}") from error
    if key.public_key() != leaf.public_key():
        raise InvalidParameter("key", "does not belong to the certificate")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(directory / "key.pem", key_pem, 0o600)
    _write(directory / "certificate.pem", certificate_pem, 0o644)


def renew(directory: Path, host_names: Sequence[str]) -> None:
    """Make another certificate for these names, self-signed, used from the next start on."""
    files = Certificate(directory / "certificate.pem", directory / "key.pem")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make(files, [_ascii(name) for name in host_names], "")


@dataclass(frozen=True)
class Description:
    """A certificate as people compare it. ``names`` are hosts and addresses it holds for."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    sha256: str


def describe(directory: Path) -> Description:
    """The certificate in ``directory``. NotFound before the first start."""
    try:
        pem = (directory / "certificate.pem").read_bytes()
    except FileNotFoundError as error:
        raise NotFound("there is no certificate yet: the first start makes one") from error
    leaf = x509.load_pem_x509_certificates(pem)[0]
    return Description(
        leaf.subject.rfc4514_string(),
        leaf.issuer.rfc4514_string(),
        tuple(_names(leaf)),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        leaf.fingerprint(hashes.SHA256()).hex(":"),
    )


def names_of(certificate: Path) -> frozenset[str]:
    """Host names and addresses that the certificate in a PEM file holds for."""
    return frozenset(_names(x509.load_pem_x509_certificates(certificate.read_bytes())[0]))


def _names(leaf: x509.Certificate) -> Iterator[str]:
    with suppress(x509.ExtensionNotFound):
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        yield from names.get_values_for_type(x509.DNSName)
        yield from map(str, names.get_values_for_type(x509.IPAddress))


def _ascii(host_name: str) -> str:
    """As certificates spell names; "localhost" for one that has no such spelling."""
    try:
        return host_name.encode("idna").decode("ascii") or "localhost"
    except UnicodeError:
        return "localhost"


def _make(files: Certificate, host_names: Sequence[str], listen: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = _sign(key, host_names, listen).public_bytes(serialization.Encoding.PEM)
    _write(files.key, secret, 0o600)
    _write(files.certificate, public, 0o644)


def _sign(
    key: ec.EllipticCurvePrivateKey, host_names: Sequence[str], listen: str
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host_names[0][:64])])
    now = datetime.now(UTC)
    names = [x509.DNSName(name) for name in dict.fromkeys([*host_names, "localhost"])]
    addresses = map(x509.IPAddress, _addresses(listen))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _addresses(listen: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Loopback and ``listen``, unless that is a name, or stands for every address."""
    loopback = [ipaddress.ip_address(address) for address in ("127.0.0.1", "::1")]
    yield from loopback
    with suppress(ValueError):
        address = ipaddress.ip_address(listen.partition("%")[0])
        if address not in loopback and not address.is_unspecified:
            yield address


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others in between."""
    half = path.with_suffix(".new")
    half.unlink(missing_ok=True)
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    half.replace(path)
