"""Single statements that are asked all the time, run on the driver itself.

SQLAlchemy takes some 100 us around a SELECT that takes SQLite 4. So a statement is compiled once,
by the same dialect as all others, and from then on only its text is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from openrdms.model import errors

_Convert = tuple[int, Callable[[Any], Any]]


@dataclass(frozen=True)
class _Compiled:
    """``order`` has the names of positional parameters, None where the driver takes names."""

    text: str
    order: tuple[str, ...] | None
    constants: dict[str, Any]
    converts: tuple[_Convert, ...]


class QuickReads:
    """Reads without a transaction around: each sees what is committed when it begins.

    Any thread may call; connections are handed from one call to the next.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._compiled: dict[sa.Select[Any], _Compiled] = {}
        self._idle: list[Any] = []

    def rows(self, statement: sa.Select[Any], **parameters: str | int) -> list[Sequence[Any]]:
        """All rows; ``parameters`` fill the bindparams of that name. OperationFailed.

        A statement is compiled once and kept, so it must be one that lives as long as its module.
        """
        compiled = self._compiled.get(statement)
        if compiled is None:
            compiled = self._compiled[statement] = _compile(self._engine.dialect, statement)
        values: Any = {**compiled.constants, **parameters}
        if compiled.order is not None:
            values = [values[name] for name in compiled.order]
        found = self._run(compiled.text, values)
        if compiled.converts:
            return [_convert(row, compiled.converts) for row in found]
        return found

    def close(self) -> None:
        """Let go of the database."""
        while self._idle:
            self._idle.pop().close()

    def _run(self, text: str, values: Any) -> list[Sequence[Any]]:
        driver_error = self._engine.dialect.loaded_dbapi.Error
        try:
            connection = self._take()
            cursor = connection.cursor()
            cursor.execute(text, values)
            found: list[Sequence[Any]] = cursor.fetchall()
            cursor.close()
        except (driver_error, sa.exc.DBAPIError) as error:  # the connection is not used again
            raise errors.OperationFailed(f"records: {error}") from error
        self._idle.append(connection)
        return found

    def _take(self) -> Any:
        """A connection of the driver, the pool's no longer; every statement is a transaction."""
        with suppress(IndexError):
            return self._idle.pop()
        pooled = self._engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        pooled.detach()
        self._engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        return connection


def _compile(dialect: sa.Dialect, statement: sa.Select[Any]) -> _Compiled:
    compiled = statement.compile(dialect=dialect)
    found = [
        (index, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for index, column in enumerate(statement.selected_columns)
    ]
    order = compiled.positiontup
    return _Compiled(
        str(compiled),
        None if order is None else tuple(order),
        {
            name: _render(bind, dialect)
            for name, bind in compiled.binds.items()
            if not bind.required
        },
        tuple((index, convert) for index, convert in found if convert),
    )


def _render(bind: sa.BindParameter[Any], dialect: sa.Dialect) -> Any:
    process = bind.type.dialect_impl(dialect).bind_processor(dialect)
    return process(bind.effective_value) if process else bind.effective_value


def _convert(row: Sequence[Any], converts: tuple[_Convert, ...]) -> Sequence[Any]:
    values = list(row)
    for index, convert in converts:
        values[index] = convert(values[index])
    return values
