from pathlib import Path

import pytest

from openrdms.model.errors import InvalidParameter
from openrdms.security.passwords import read_password_file


@pytest.mark.parametrize("text", ["secret", "secret\n", "secret\r\n", "secret\nnot this\n"])
def test_the_first_line_of_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(text.encode())
    assert read_password_file("admin-password-file", file) == "secret"


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\nsecret", b"\xff\xfe"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(InvalidParameter, match=r"^admin-password-file: "):
        read_password_file("admin-password-file", file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="cannot read"):
        read_password_file("admin-password-file", tmp_path / "password")
