"""How commands get their options, print and exit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from openrdms.cli import commands, output
from openrdms.model import errors

closed: list[str] = []


@contextmanager
def open_place(place: Annotated[str, typer.Option(help="Where.")] = "here") -> Iterator[str]:
    try:
        yield place
    finally:
        closed.append(place)


def make_app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)

    @commands.command(app, "list", opens=open_place)
    def list_things(place: str, name: str) -> output.Result:
        return output.Listing([{"name": name, "place": place, "size": 3}], ("name", "place"))

    @commands.command(app, "fail")
    def fail(kind: str) -> output.Result:
        raise {
            "refused": errors.NotFound("no such thing"),
            "silent": commands.Unreachable("no answer"),
            "login": commands.LoginRefused("who are you?"),
            "file": PermissionError(13, "Permission denied", "/srv/rdms/lock"),
            "socket": TimeoutError("timed out"),
        }[kind]

    return app


def run(*arguments: str):
    return CliRunner().invoke(make_app(), arguments)


def test_a_command_takes_its_own_options_and_those_of_what_it_opens() -> None:
    result = run("list", "disk", "--place", "there")
    assert result.exit_code == 0
    assert result.output.split() == ["name", "place", "disk", "there"]
    assert closed.pop() == "there"


def test_json_has_rows_whole() -> None:
    result = run("list", "disk", "--json")
    assert json.loads(result.stdout) == [{"name": "disk", "place": "here", "size": 3}]


@pytest.mark.parametrize(("kind", "code"), [("refused", 1), ("silent", 3), ("login", 4)])
def test_exit_codes_tell_failures_apart(kind: str, code: int) -> None:
    result = run("fail", kind)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("rdms: ")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("file", "/srv/rdms/lock: Permission denied"), ("socket", "timed out")],
)
def test_what_the_system_refuses_is_told_in_one_line(kind: str, words: str) -> None:
    result = run("fail", kind)
    assert result.exit_code == 1
    assert result.stderr == f"rdms: {words}\n"


def test_wrong_usage_exits_with_2() -> None:
    assert run("list").exit_code == 2
