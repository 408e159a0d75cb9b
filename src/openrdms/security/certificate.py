"""The TLS certificate: the administrator's own, or one made at first start."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

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
        _make(files, _ascii(host_name or socket.getfqdn()), listen)
    return files


def _ascii(host_name: str) -> str:
    """As certificates spell names; "localhost" for one that has no such spelling."""
    try:
        return host_name.encode("idna").decode("ascii") or "localhost"
    except UnicodeError:
        return "localhost"


def _make(files: Certificate, host_name: str, listen: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = _sign(key, host_name, listen).public_bytes(serialization.Encoding.PEM)
    _write(files.key, secret, 0o600)
    _write(files.certificate, public, 0o644)


def _sign(key: ec.EllipticCurvePrivateKey, host_name: str, listen: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host_name[:64])])
    now = datetime.now(UTC)
    names = [x509.DNSName(name) for name in dict.fromkeys([host_name, "localhost"])]
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
