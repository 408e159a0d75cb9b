"""Tables of single values (a column ``value``), each found by names that ignore case."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from openrdms.adapters.sql import rows


class _Value(TypeDecorator[Any]):
    """A number, a string or a tuple of strings, as JSON text.

    Not sa.JSON: SQLite would take a number in such a column for a number, which is no JSON.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        return json.dumps(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        stored = None if value is None else json.loads(value)
        return tuple(stored) if isinstance(stored, list) else stored


def value_column() -> sa.Column[Any]:
    """The column ``value`` of a table of such values."""
    return sa.Column("value", _Value, nullable=False)


def find_value(connection: sa.Connection, table: sa.Table, **names: str) -> Any:
    """None when there is none; ``names`` are those of the primary key's columns."""
    return connection.execute(sa.select(table.c.value).where(*_are(table, names))).scalar()


def put_value(connection: sa.Connection, table: sa.Table, value: object, **names: str) -> None:
    rows.put_rows(connection, table, [_fold(names) | {"value": value}])


def drop_value(connection: sa.Connection, table: sa.Table, **names: str) -> bool:
    """False when there was none."""
    return connection.execute(sa.delete(table).where(*_are(table, names))).rowcount > 0


def _fold(names: dict[str, str]) -> dict[str, object]:
    return {column: name.casefold() for column, name in names.items()}


def _are(table: sa.Table, names: dict[str, str]) -> list[sa.ColumnElement[bool]]:
    return [table.c[column] == name for column, name in _fold(names).items()]
