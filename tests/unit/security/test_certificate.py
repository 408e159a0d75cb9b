import socket
from pathlib import Path

import pytest
from cryptography import x509

from openrdms.security import certificate


def read_names(files: certificate.Certificate) -> x509.SubjectAlternativeName:
    found = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_made_once_with_the_names_it_is_reached_by(tmp_path: Path) -> None:
    files = certificate.ensure(tmp_path / "tls", "broker.test")
    assert files.key.stat().st_mode & 0o777 == 0o600
    names = read_names(files)
    assert names.get_values_for_type(x509.DNSName) == ["broker.test", "localhost"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == ["127.0.0.1", "::1"]
    before = files.certificate.read_bytes(), files.key.read_bytes()
    assert certificate.ensure(tmp_path / "tls", "other.test") == files
    assert (files.certificate.read_bytes(), files.key.read_bytes()) == before


def test_a_start_that_died_halfway_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_text("half")
    (tmp_path / "key.pem").write_text("a key without its certificate")
    files = certificate.ensure(tmp_path, "broker.test")
    assert files.key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["certificate.pem", "key.pem"]


@pytest.mark.parametrize(
    ("listen", "addresses"),
    [
        ("192.0.2.7", ["127.0.0.1", "::1", "192.0.2.7"]),
        ("fe80::7%eth0", ["127.0.0.1", "::1", "fe80::7"]),
        ("::1", ["127.0.0.1", "::1"]),
        ("0.0.0.0", ["127.0.0.1", "::1"]),
        ("broker.test", ["127.0.0.1", "::1"]),
    ],
)
def test_holds_for_the_address_it_listens_on(
    tmp_path: Path, listen: str, addresses: list[str]
) -> None:
    names = read_names(certificate.ensure(tmp_path, "broker.test", listen))
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == addresses


@pytest.mark.parametrize(
    ("host", "expected"),
    [("münchen.test", ["xn--mnchen-3ya.test", "localhost"]), ("\udcff" * 70, ["localhost"])],
)
def test_host_with_any_name_gets_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, expected: list[str]
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: host)
    assert read_names(certificate.ensure(tmp_path)).get_values_for_type(x509.DNSName) == expected
