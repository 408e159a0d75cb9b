"""Single statements that are asked all the time, without a transaction around."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql.compiled import Row, compile_once
from openrdms.model import errors


class QuickReads:
    """Each sees what is committed when it begins.

    Any thread may call; connections are handed from one call to the next.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._idle: list[Any] = []

    def rows(self, statement: sa.Select[Any], **parameters: str | int) -> list[Row]:
        """All rows; ``parameters`` fill the bindparams of that name. OperationFailed.

        A statement is compiled once and kept, so it must be one that lives as long as its module.
        """
        compiled = compile_once(self._engine.dialect, statement)
        driver_error = self._engine.dialect.loaded_dbapi.Error
        try:
            connection = self._take()
            found = compiled.rows(connection, parameters)
        except (driver_error, sa.exc.DBAPIError) as error:  # the connection is not used again
            raise errors.OperationFailed(f"records: {error}") from error
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
