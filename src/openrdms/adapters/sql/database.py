"""One database: its connections, its transactions, its migrations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa

from openrdms.adapters.sql.quick_reads import QuickReads
from openrdms.model import errors

_BUSY_SECONDS = 30
"""How long a transaction waits for one of another process (``rdms image`` beside a service)."""


class Database:
    """Short transactions from any thread; those that write come one after the other.

    SQLite: write-ahead log, so that readers never wait; every commit reaches the disk before
    it returns (synchronous FULL), since callers tell the world what was committed.
    """

    def __init__(self, url: str) -> None:
        """Opens the database and brings it to the newest schema. OperationFailed."""
        # A reader that waits for a pooled connection would be slower than one that opens its own.
        self._engine = sa.create_engine(url, max_overflow=-1, hide_parameters=True)
        self._writer = self._engine.execution_options(begin="IMMEDIATE")
        self._writing = threading.Lock()
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _configure_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self.quick = QuickReads(self._engine)
        """For single statements that are asked all the time."""
        self._migrate()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of all records."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is alone in writing; committed when the block ends well."""
        with self._writing, _translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self.quick.close()
        self._engine.dispose()

    def _migrate(self) -> None:
        config = alembic.config.Config()
        config.set_main_option("script_location", "openrdms.adapters.sql:migrations")
        with self.write() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError as error:
        # Whatever a caller may meet is checked before, in words; this is the last defence.
        raise errors.InvalidOperation(f"records: {error.orig}") from error
    except sa.exc.StatementError as error:
        raise errors.OperationFailed(f"records: {error.orig}") from error


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; see _begin_sqlite
    for pragma in (
        f"busy_timeout = {_BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """IMMEDIATE takes the write lock first: a lock taken later can fail without waiting."""
    kind = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
