"""Dataclasses to rows and back. A table has a column for every field of its dataclass."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Record = TypeVar("Record")

PART = 1000
"""Rows at a time: a server that is kept waiting for more of them ends the transaction (dialects).
"""

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _field_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def render_row(record: Any, **keys: object) -> dict[str, Any]:
    """The columns of ``record``, and ``keys`` besides."""
    return {name: getattr(record, name) for name in _field_names(type(record))} | keys


def query_records(kind: type[Any], table: sa.Table) -> sa.Select[Any]:
    """All rows, their columns in the order of the fields of ``kind``."""
    return sa.select(*(table.c[name] for name in _field_names(kind)))


def select_records(
    connection: sa.Connection,
    kind: type[Record],
    table: sa.Table,
    *where: sa.ColumnElement[bool],
    order: Iterable[sa.ColumnElement[Any]] = (),
) -> list[Record]:
    """Rows as values of ``kind``."""
    rows = connection.execute(query_records(kind, table).where(*where).order_by(*order))
    return [kind(*row) for row in rows]


def find_record(
    connection: sa.Connection,
    kind: type[Record],
    table: sa.Table,
    *where: sa.ColumnElement[bool],
) -> Record | None:
    """The one row, or None."""
    found = select_records(connection, kind, table, *where)
    return found[0] if found else None


def insert(dialect: str, table: sa.Table) -> Any:
    """An INSERT that can say what to do on a conflict, in the words of the database."""
    return _INSERTS[dialect](table)


def put_rows(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert, or replace what has the same primary key."""
    if rows:
        execute_all(connection, _upsert(connection.dialect.name, table, tuple(rows[0])), rows)


def execute_all(
    connection: sa.Connection, statement: sa.Executable, rows: Sequence[dict[str, Any]]
) -> None:
    """Once for each row, however many there are."""
    for at in range(0, len(rows), PART):
        connection.execute(statement, rows[at : at + PART])


@functools.cache
def _upsert(dialect: str, table: sa.Table, names: tuple[str, ...]) -> Any:
    """Made once: it takes longer to put together than to execute."""
    statement = insert(dialect, table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    if changed:
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)
    return statement.on_conflict_do_nothing(index_elements=keys)


def update_rows(
    connection: sa.Connection,
    table: sa.Table,
    keys: tuple[str, ...],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Change what has the same ``keys`` in each of the rows, which all have the same columns. No
    two may have the same keys.

    SQLite is handed all rows at once: its driver gives the interpreter away for each execution,
    and while other threads call hosts it takes far longer to get it back than to write a row. It
    ends a text in JSON at a NUL, which PostgreSQL does not take at all.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name != "sqlite":
        each = [{f"given_{name}": row[name] for name in names} for row in rows]
        execute_all(connection, _update_each(table, keys, names), each)
        return
    renders = _renders(connection.dialect, table, names)
    given = [[render(row[name]) for name, render in renders] for row in rows]
    all_at_once = _update_all(table, keys, names)
    connection.execute(all_at_once, {"given": json.dumps(given, ensure_ascii=False)})


@functools.cache
def _update_each(table: sa.Table, keys: tuple[str, ...], names: tuple[str, ...]) -> sa.Update:
    given = {name: sa.bindparam(f"given_{name}", type_=table.c[name].type) for name in names}
    return _update(table, keys, given)


@functools.cache
def _update_all(table: sa.Table, keys: tuple[str, ...], names: tuple[str, ...]) -> sa.Update:
    rows = sa.func.json_each(sa.bindparam("given")).table_valued("value", name="given")
    given = {name: sa.func.json_extract(rows.c.value, f"$[{i}]") for i, name in enumerate(names)}
    return _update(table, keys, given)


def _update(
    table: sa.Table, keys: tuple[str, ...], given: Mapping[str, sa.ColumnElement[Any]]
) -> sa.Update:
    same = (table.c[name] == given[name] for name in keys)
    changed = {name: value for name, value in given.items() if name not in keys}
    return sa.update(table).where(*same).values(changed)


@functools.cache
def _renders(
    dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...]
) -> list[tuple[str, Callable[[Any], Any]]]:
    """What makes of a value of each column what the driver takes, which JSON has, too."""
    types = ((name, table.c[name].type.dialect_impl(dialect)) for name in names)
    return [(name, kind.bind_processor(dialect) or _as_it_is) for name, kind in types]


def _as_it_is(value: Any) -> Any:
    return value
