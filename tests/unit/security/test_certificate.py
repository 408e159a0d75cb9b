import ipaddress
from pathlib import Path

from cryptography import x509

from openrdms.security import certificate


def test_made_once_with_the_names_it_is_reached_by(tmp_path: Path) -> None:
    files = certificate.ensure(tmp_path / "tls", "broker.test")
    assert files.key.stat().st_mode & 0o777 == 0o600
    found = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.test", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    before = files.certificate.read_bytes(), files.key.read_bytes()
    assert certificate.ensure(tmp_path / "tls", "other.test") == files
    assert (files.certificate.read_bytes(), files.key.read_bytes()) == before


def test_a_start_that_died_halfway_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_text("half")
    (tmp_path / "key.pem").write_text("a key without its certificate")
    files = certificate.ensure(tmp_path, "broker.test")
    assert files.key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["certificate.pem", "key.pem"]
