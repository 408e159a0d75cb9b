"""What commands print: tables for people, JSON for programs, progress on standard error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

Row = Mapping[str, object]
Words = Mapping[str, Mapping[object, str]]
"""What numbers mean, by column."""

Report = Callable[[float, str], None]
"""Takes the fraction done and what is being done."""

_PIPE_WIDTH = 10_000
"""Columns of an output that is no terminal: programs want a row on one line."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# Names may hold brackets, which are no markup.
_out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
_error = Console(stderr=True, highlight=False, markup=False)


@dataclass(frozen=True)
class Listing:
    """Rows of which a table shows only ``columns``; JSON has them whole."""

    rows: Sequence[Row]
    columns: Sequence[str]
    words: Words = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """One row whose numbers have ``words`` for people; JSON keeps the numbers."""

    row: Row
    words: Words


@dataclass(frozen=True)
class Document:
    """``whole`` for programs; for people some facts, and a table of rows below."""

    whole: Row
    facts: Row
    rows: Sequence[Row]
    columns: Sequence[str]
    words: Words = field(default_factory=dict)


@dataclass(frozen=True)
class NotYet:
    """What a command has come to that is to be given again; ``words`` are for people."""

    row: Row
    words: str


Result = Listing | Facts | Document | NotYet | Row | str | None


def show(result: Result, *, as_json: bool) -> None:
    """Print what a command found."""
    if as_json:
        _out.out(json.dumps(_plain(result), indent=1, default=str))
    elif isinstance(result, Listing):
        _out.print(_table(result.rows, result.columns, result.words))
    elif isinstance(result, Facts):
        _out.print(_properties(result.row, result.words))
    elif isinstance(result, NotYet):
        complain(result.words)
    elif isinstance(result, Document):
        _out.print(_properties(result.facts, result.words))
        _out.print(_table(result.rows, result.columns, result.words))
    elif isinstance(result, str):
        _out.out(result)
    elif result is not None:
        _out.print(_properties(result, {}))


def _plain(result: Result) -> object:
    if isinstance(result, Listing):
        return result.rows
    if isinstance(result, Facts | NotYet):
        return result.row
    return result.whole if isinstance(result, Document) else result


def _with_words(row: Row, words: Words) -> Row:
    """Numbers that have no word stay."""
    known = {name: words[name].get(row[name], row[name]) for name in words if name in row}
    return {**row, **known}


def _printable(text: str) -> str:
    """Without control characters: what others wrote must not steer a terminal."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def complain(text: str) -> None:
    """One line on standard error."""
    _error.out(_printable(f"rdms: {text}"))


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """A bar on standard error while the block runs; nothing when that is no terminal."""
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    words = TextColumn("{task.description}")
    with Progress(words, *columns, console=_error, disable=not _error.is_terminal) as progress:
        task = progress.add_task(title, total=1.0)

        def report(fraction: float, doing: str) -> None:
            progress.update(task, completed=fraction, description=f"{title}: {doing}")

        yield report


def _table(rows: Sequence[Row], columns: Sequence[str], words: Words) -> Table:
    titles = (Column(column, overflow="fold") for column in columns)
    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        shown = _with_words(row, words)
        table.add_row(*(_cell(shown.get(column)) for column in columns))
    return table


def _properties(row: Row, words: Words) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in _with_words(row, words).items():
        table.add_row(name, _cell(value))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, int) for item in value):
            return f"{len(value)} bytes"  # uint8[], the one array of numbers that RDMS has
        return ", ".join(map(_cell, value))
    return _printable(str(value))
