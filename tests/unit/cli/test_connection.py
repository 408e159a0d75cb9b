"""Which RDMS is meant: options before profile, and what is missing is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from openrdms.cli import connection, rdms_client
from openrdms.cli.commands import Unreachable
from openrdms.model import errors


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("s3cret\nsecond line\n")
    return file


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[rdms_client.Login]:
    """What clients were opened with; profiles are read below ``tmp_path``."""
    made: list[rdms_client.Login] = []

    class Client:
        def __init__(self, login: rdms_client.Login) -> None:
            made.append(login)

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(rdms_client, "RdmsClient", Client)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return made


def write_profile(tmp_path: Path, text: str) -> None:
    (tmp_path / "rdms").mkdir()
    (tmp_path / "rdms" / "config.toml").write_text(text)


def test_options_suffice(logins: list[rdms_client.Login], password_file: Path) -> None:
    with connection.open_rdms(
        url="https://rdms:5986/wsman", user="me", password_file=password_file
    ):
        assert logins == [rdms_client.Login("https://rdms:5986/wsman", "me", "s3cret")]
    assert "s3cret" not in repr(logins)


def test_the_default_profile_fills_what_options_leave_open(
    logins: list[rdms_client.Login], password_file: Path, tmp_path: Path
) -> None:
    write_profile(
        tmp_path,
        f"""default = "lab"
        [profile.lab]
        url = "https://lab/wsman"
        user = "me"
        password_file = "{password_file}"
        ca = "/lab.pem"
        """,
    )
    with connection.open_rdms(user="you"):
        expected = rdms_client.Login("https://lab/wsman", "you", "s3cret", Path("/lab.pem"))
        assert logins == [expected]


def test_insecure_is_never_silent(
    logins: list[rdms_client.Login],
    password_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_profile(
        tmp_path, '[profile.lab]\nurl = "https://lab/wsman"\nuser = "me"\ninsecure = true\n'
    )
    with connection.open_rdms(profile="lab", password_file=password_file):
        assert logins[0].insecure
    assert "not checked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ca", "expected"), [(None, "http://127.0.0.1:1/"), (Path("c.pem"), "https://127.0.0.1:2/")]
)
def test_a_ready_file_gives_tls_when_it_can_be_checked(
    logins: list[rdms_client.Login],
    password_file: Path,
    tmp_path: Path,
    ca: Path | None,
    expected: str,
) -> None:
    ready = tmp_path / "ready"
    ready.write_text(
        json.dumps({"wsman_http": "http://127.0.0.1:1/", "wsman_https": "https://127.0.0.1:2/"})
    )
    with connection.open_rdms(user="me", password_file=password_file, ready_file=ready, ca=ca):
        assert logins[0].url == expected


def test_a_missing_ready_file_means_nobody_is_there(
    logins: list[rdms_client.Login], tmp_path: Path
) -> None:
    with (
        pytest.raises(Unreachable, match="ready"),
        connection.open_rdms(user="me", ready_file=tmp_path / "ready"),
    ):
        pytest.fail("opened")


@pytest.mark.parametrize(
    ("profile", "error", "words"),
    [
        ("missing", typer.BadParameter, "profile.missing"),
        ("typo", errors.InvalidParameter, "passwort_file"),
        ("", typer.BadParameter, "which RDMS"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(
    logins: list[rdms_client.Login],
    tmp_path: Path,
    profile: str,
    error: type[Exception],
    words: str,
) -> None:
    write_profile(tmp_path, '[profile.typo]\npasswort_file = "x"\n')
    with pytest.raises(error, match=words), connection.open_rdms(profile=profile):
        pytest.fail("opened")


def test_a_password_file_that_cannot_be_read_is_named(
    logins: list[rdms_client.Login], tmp_path: Path
) -> None:
    with (
        pytest.raises(errors.InvalidParameter, match="absent"),
        connection.open_rdms(url="http://x/", user="me", password_file=tmp_path / "absent"),
    ):
        pytest.fail("opened")
