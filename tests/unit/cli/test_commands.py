"""How commands get their options, print and exit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from openrdms import cli
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


def show(
    result: output.Result, capsys: pytest.CaptureFixture[str], *, as_json: bool = False
) -> str:
    output.show(result, as_json=as_json)
    return capsys.readouterr().out


WORDS: output.Words = {"State": {2: "running"}}


@pytest.mark.parametrize(
    "make",
    [
        lambda row: output.Facts(row, WORDS),
        lambda row: output.Listing([row], ("State",), WORDS),
        lambda row: output.Document(row, row, [], (), WORDS),
        lambda row: output.Document(row, {}, [row], ("State",), WORDS),
    ],
    ids=["facts", "listing", "document's facts", "document's rows"],
)
def test_people_read_words_and_programs_numbers(
    make: Callable[[output.Row], output.Result], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "running" in show(make({"State": 2}), capsys)
    assert "3" in show(make({"State": 3}), capsys), "a number without a word stays"
    assert "running" not in show(make({"State": 2}), capsys, as_json=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        ([0, 255, 17], "3 bytes"),
        ([], ""),
        (["a", None], "a, -"),
        (datetime(2026, 1, 2, 3, 4, 5, 6789, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        ("Grüße [b]", "Grüße [b]"),
        ("evil\x1b[2J\x9b\x07", "evil\ufffd[2J\ufffd\ufffd"),
    ],
)
def test_values_as_people_see_them(
    value: object, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show({"it": value}, capsys).strip() == f"it  {shown}".strip()


def test_a_refusal_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain("no \x1b[31m such thing")
    assert "\x1b" not in capsys.readouterr().err


def test_a_group_alone_shows_what_it_can_do() -> None:
    result = CliRunner().invoke(cli.build(["session"]), ["session"])
    assert "disconnect" in result.output
    assert result.exit_code == 2


def test_each_group_says_in_a_line_what_it_is_for() -> None:
    root = typer.main.get_command(cli.build())
    assert isinstance(root, typer.core.TyperGroup)
    helps = {name: item.get_short_help_str(200) for name, item in root.commands.items()}
    assert helps.keys() == set(cli.GROUPS)
    assert [name for name, text in helps.items() if not 10 < len(text) < 100] == []
