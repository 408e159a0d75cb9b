"""Statements that are executed all the time, run on the driver itself.

SQLAlchemy takes some 100 us around a statement that takes SQLite 4. So one is compiled once, by
the same dialect as all others, and from then on only its text is used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

Statement = sa.Select[Any] | sa.Update
Row = Sequence[Any]

_Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Compiled:
    """``order`` has the names of positional parameters, None where the driver takes names;
    ``binds`` renders parameters, ``converts`` reads columns by their index.
    """

    text: str
    order: tuple[str, ...] | None
    constants: Mapping[str, Any]
    binds: Mapping[str, _Convert]
    converts: tuple[tuple[int, _Convert], ...]

    def rows(self, connection: Any, parameters: Mapping[str, Any]) -> list[Row]:
        """All rows that it returns on a connection of the driver. Raises the driver's errors."""
        values: Any = {**self.constants, **parameters}
        for name, render in self.binds.items():
            values[name] = render(values[name])
        if self.order is not None:
            values = [values[name] for name in self.order]
        cursor = connection.cursor()
        cursor.execute(self.text, values)
        found: list[Row] = cursor.fetchall() if cursor.description else []
        cursor.close()
        return [self._convert(row) for row in found] if self.converts else found

    def _convert(self, row: Row) -> Row:
        values = list(row)
        for index, convert in self.converts:
            values[index] = convert(values[index])
        return values


@functools.cache
def compile_once(dialect: sa.Dialect, statement: Statement) -> Compiled:
    """It is kept, so the statement must be one that lives as long as its module."""
    compiled = statement.compile(dialect=dialect)
    columns = statement.selected_columns if isinstance(statement, sa.Select) else ()
    read = [
        (index, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for index, column in enumerate(columns)
    ]
    render = {
        name: bind.type.dialect_impl(dialect).bind_processor(dialect)
        for name, bind in compiled.binds.items()
    }
    order = compiled.positiontup
    fixed = {name: one for name, one in compiled.binds.items() if not one.required}
    return Compiled(
        str(compiled),
        None if order is None else tuple(order),
        {name: _call(render[name], one.effective_value) for name, one in fixed.items()},
        {name: one for name, one in render.items() if one and name not in fixed},
        tuple((index, convert) for index, convert in read if convert),
    )


def execute(connection: sa.Connection, statement: Statement, **parameters: object) -> list[Row]:
    """All rows that it returns, in the transaction of ``connection``; see ``compile_once``.

    ``parameters`` fill the bindparams of that name.
    """
    compiled = compile_once(connection.dialect, statement)
    driver_error = connection.dialect.loaded_dbapi.Error
    try:
        return compiled.rows(connection.connection.dbapi_connection, parameters)
    except driver_error as error:
        raise sa.exc.DBAPIError.instance(compiled.text, None, error, driver_error) from error


def _call(render: _Convert | None, value: Any) -> Any:
    return render(value) if render else value
