"""Single statements that are asked all the time, without a transaction around."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql.availability import Availability
from openrdms.adapters.sql.compiled import Row, compile_once
from openrdms.model import errors


class QuickReads:
    """Each sees what is committed when it begins.

    Any thread may call; connections are handed from one call to the next.
    """

    def __init__(
        self, engine: sa.Engine, translate: Callable[[Exception], errors.RdmsError]
    ) -> None:
        """``translate`` makes errors of the driver and of SQLAlchemy ours."""
        self._engine = engine
        self._translate = translate
        self._idle: list[Any] = []

    def rows(self, statement: sa.Select[Any], **parameters: str | int) -> list[Row]:
        """All rows; ``parameters`` fill the bindparams of that name.

        A statement is compiled once and kept, so it must be one that lives as long as its module.
        OperationFailed, RecordsUnavailable.
        """
        compiled = compile_once(self._engine.dialect, statement)
        driver_error = self._engine.dialect.loaded_dbapi.Error
        connection = None
        try:
            connection = self._take()
            found = compiled.rows(connection, parameters)
        except (driver_error, sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if connection:
                connection.close()
            raise self._translate(error) from error
        self._idle.append(connection)
        return found

    def close(self) -> None:
        """Let go of the database."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Any:
        """A connection of the driver, the pool's no longer; every statement is a transaction."""
        with suppress(IndexError):
            return self._idle.pop()
        pooled = self._engine.raw_connection()
        connection: Any = pooled.dbapi_connection
        pooled.detach()
        self._engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        return connection


class SharedReads(QuickReads):
    """The same of a server, which has only so many connections for all who read."""

    def __init__(
        self,
        engine: sa.Engine,
        translate: Callable[[Exception], errors.RdmsError],
        availability: Availability,
        connections: int,
    ) -> None:
        super().__init__(engine, translate)
        self._availability = availability
        self._turns = threading.Semaphore(connections)

    def rows(self, statement: sa.Select[Any], **parameters: str | int) -> list[Row]:
        """As QuickReads do; at once RecordsUnavailable while the server is known to be away."""
        with self._turns:
            self._availability.check()
            return super().rows(statement, **parameters)
