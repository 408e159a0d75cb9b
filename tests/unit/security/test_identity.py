from pathlib import Path

import pytest

from openrdms.model.errors import InvalidParameter
from openrdms.security.identity import Administrator


def test_name_and_password_must_both_be_right() -> None:
    administrator = Administrator("admin", "secret")
    assert administrator.verify("admin", "secret")
    for name, password in [("admin", "Secret"), ("Admin", "secret"), ("", ""), ("admins", "ecret")]:
        assert not administrator.verify(name, password)


def test_the_password_is_not_kept() -> None:
    assert "secret" not in repr(vars(Administrator("admin", "secret")))


@pytest.mark.parametrize("text", ["secret", "secret\n", "secret\r\n", "secret\nnot this\n"])
def test_the_first_line_of_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "password"
    file.write_text(text, newline="")
    assert Administrator.from_file("admin", file).verify("admin", "secret")


@pytest.mark.parametrize("content", [b"", b"\nsecret", b"\xff\xfe"])
def test_a_file_without_a_password(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(InvalidParameter, match="admin-password-file"):
        Administrator.from_file("admin", file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="admin-password-file"):
        Administrator.from_file("admin", tmp_path / "password")
