"""subuid and subgid ranges (subuid(5))."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from openrdms.adapters.images.namespace import find_subid

NAME = pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize(
    ("table", "start"),
    [
        (f"somebody-else:100000:65536\n{NAME}:165536:65536\n", 165536),
        (f"{os.getuid()}:300000:65536\n", 300000),
        (f"{NAME}:100000:1000\n{NAME}:200000:65536\n", 200000),
        (f"{NAME}:100000:1000\n", None),
        ("somebody-else:100000:65536\n", None),
        ("", None),
    ],
    ids=["by name", "by number", "second is large enough", "too small", "of others", "empty"],
)
def test_range_of_this_account(tmp_path: Path, table: str, start: int | None) -> None:
    (tmp_path / "subuid").write_text(table)
    assert find_subid(tmp_path / "subuid") == start


def test_no_table(tmp_path: Path) -> None:
    assert find_subid(tmp_path / "subuid") is None
