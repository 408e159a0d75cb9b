"""docs/cmdlets.md has all cmdlets, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from openrdms import cli

PAGE = (Path(__file__).parents[2] / "docs" / "cmdlets.md").read_text()
ROWS = re.findall(r"^\| ([A-Z][a-z]+-RD\w+) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def commands() -> set[str]:
    root = typer.main.get_command(cli.build())
    assert isinstance(root, typer.core.TyperGroup)
    found = set()
    for name, item in root.commands.items():
        inner = getattr(item, "commands", None)
        found |= {f"{name} {one}" for one in inner} if inner else {name}
    return found


def test_each_of_the_79_cmdlets_has_its_row() -> None:
    assert len({name for name, _, _ in ROWS}) == len(ROWS) == 79
    assert {verdict for _, verdict, _ in ROWS} <= {"yes", "part", "not yet", "no"}


@pytest.mark.parametrize(("name", "verdict", "words"), ROWS, ids=[row[0] for row in ROWS])
def test_the_commands_named_exist(name: str, verdict: str, words: str) -> None:
    known = commands()
    named = re.findall(r"`rdms ([a-z-]+(?: [a-z-]+)?)", words)
    assert named or verdict in ("not yet", "no")
    for one in named:
        assert one in known or one.partition(" ")[0] in known, one
