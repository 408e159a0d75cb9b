"""apt's sources, in both of its formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from openrdms.adapters.images.apt_sources import (
    AptSource,
    find_sources,
    parse_deb822,
    parse_one_line,
)
from openrdms.model.errors import OperationFailed

ONE_LINE = """
# deb http://off.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] http://mirror.example/debian bookworm \
main non-free
deb http://mirror.example/security bookworm-security main
deb http://other.example/apt stable contrib
"""

DEB822 = """
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
  http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/d.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://inline.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_one_line_format() -> None:
    signed, security, other = parse_one_line(ONE_LINE)
    key = {"signed-by": "/usr/share/keyrings/d.gpg"}
    assert signed == AptSource(
        "http://mirror.example/debian", "bookworm", ("main", "non-free"), key
    )
    assert (security.suite, security.options) == ("bookworm-security", {})
    assert other.components == ("contrib",)


def test_deb822_format() -> None:
    sources = list(parse_deb822(DEB822))
    assert [(source.uri, source.suite) for source in sources] == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
        ("http://second.example/debian", "bookworm"),
        ("http://second.example/debian", "bookworm-updates"),
        ("http://inline.example/debian", "bookworm"),
    ]
    assert sources[0].render() == (
        "deb [signed-by=/usr/share/keyrings/d.gpg] http://mirror.example/debian bookworm main"
    )
    assert sources[-1].render() == "deb http://inline.example/debian bookworm main"


def test_only_main_of_the_suite_is_taken_wherever_it_is_written(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (parts / "debian.sources").write_text(DEB822)
    found = find_sources("bookworm", tmp_path)
    assert {source.suite for source in found} == {
        "bookworm",
        "bookworm-updates",
        "bookworm-security",
    }
    assert "other.example" not in {source.uri for source in found}


def test_machine_without_the_suite(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://mirror.example/ubuntu noble main\n")
    with pytest.raises(OperationFailed, match="bookworm"):
        find_sources("bookworm", tmp_path)
