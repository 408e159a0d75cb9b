"""Dataclasses to rows and back. A table has a column for every field of its dataclass."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
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
