"""What each of the two databases is told, so that both give the same guarantees.

A transaction that writes is alone in writing and sees all that was committed before it; one that
reads sees one state, and waits for no writer.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from contextlib import suppress
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa

from openrdms.model import errors

_CACHE_KIB = 512
"""Of each SQLite connection, of which there are as many as threads that read at once; what it does
not keep the system does.
"""

_BUSY_SECONDS = 30
"""How long a transaction waits for one of another process (``rdms image`` beside a service)."""

_WRITER = 0x52444D53
"""The advisory lock of PostgreSQL that a transaction which writes records has to its end."""

_POOL_SIZE, _POOL_OVERFLOW = 8, 4
_QUICK_CONNECTIONS = 6
"""Connections of one service, of some 100 that a server has: for transactions, for single reads."""

_SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": f"{_BUSY_SECONDS}s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "5s",
    # The lock of a service that was cut off must not outlive it for long.
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "5000",
}

CONNECT_OPTIONS = {
    "connect_timeout": 3,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
}
"""libpq's, by which either side notices within some seconds that the other one is away."""

_ORDERED = ("-c", "B", "_d", "a", "ab", "é", "ｚ", "𝕒")


_OF_CONNECTIONS = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,  # by its class an internal error
)


class Dialect(Protocol):
    """What differs between databases, besides what SQLAlchemy knows."""

    quick_connections: int | None
    """How many single reads may run at once; None: as many as ask."""
    is_shared: bool
    """Whether several services may have it."""

    def open_engine(self) -> sa.Engine: ...

    def reader(self, engine: sa.Engine) -> sa.Engine:
        """The same connections, whose transactions see one state of all records."""
        ...

    def writer(self, engine: sa.Engine) -> sa.Engine:
        """The same connections, whose transactions are alone in writing."""
        ...

    def begin_writing(self, connection: sa.Connection, service: str = "") -> bool:
        """Wait until it is the only one that writes; False when ``service`` may write no more."""
        ...

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own, on which every statement is a transaction. NotSupported where
        services cannot share the database; what the driver raises.
        """
        ...

    def cut(self) -> None:
        """End all connections, also those on which somebody waits for an answer."""
        ...

    def check(self, connection: sa.Connection) -> None:
        """OperationFailed when records must not be in this database as it is."""
        ...

    def is_away(self, error: BaseException) -> bool:
        """Whether the driver's error says that the database does not answer now."""
        ...

    def is_unwritable(self, error: BaseException) -> bool:
        """Whether it says that a text has the one character that the database cannot keep."""
        ...


class Sqlite:
    """One file. Write-ahead log, so that readers never wait; every commit reaches the disk before
    it returns (synchronous FULL), since callers tell the world what was committed.
    """

    quick_connections: int | None = None
    is_shared = False

    def __init__(self, url: sa.URL) -> None:
        self._url = url

    def open_engine(self) -> sa.Engine:
        # A reader that waits for a pooled connection would be slower than one that opens its own.
        # The one used last has the most in its cache, and others need none while it is enough.
        engine = sa.create_engine(
            self._url, max_overflow=-1, pool_use_lifo=True, hide_parameters=True
        )
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def reader(self, engine: sa.Engine) -> sa.Engine:
        return engine

    def writer(self, engine: sa.Engine) -> sa.Engine:
        return engine.execution_options(begin="IMMEDIATE")

    def begin_writing(self, connection: sa.Connection, service: str = "") -> bool:
        """BEGIN IMMEDIATE has waited already, and a service is alone with its file."""
        return True

    def connect(self) -> psycopg.Connection[Any]:
        raise errors.NotSupported("records: services cannot share an SQLite file")

    def cut(self) -> None:
        """Nobody waits for a file."""

    def check(self, connection: sa.Connection) -> None:
        """There is nothing that could be wrong with a file of ours."""

    def is_away(self, error: BaseException) -> bool:
        return False

    def is_unwritable(self, error: BaseException) -> bool:
        return False


class Postgresql:
    """A database of a server, for any number of services."""

    quick_connections: int | None = _QUICK_CONNECTIONS
    is_shared = True

    def __init__(self, url: sa.URL, service: str = "") -> None:
        """``service`` is a member's id, by which the others find its connections."""
        self._url = url.set(drivername="postgresql+psycopg")
        self._options = {**CONNECT_OPTIONS, "application_name": application_name(service)}
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()

    def open_engine(self) -> sa.Engine:
        engine = sa.create_engine(
            self._url,
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_OVERFLOW,
            hide_parameters=True,
            connect_args=self._options,
        )
        sa.event.listen(engine, "connect", lambda connection, _record: self._note(connection))
        return engine

    def reader(self, engine: sa.Engine) -> sa.Engine:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def writer(self, engine: sa.Engine) -> sa.Engine:
        return engine

    def begin_writing(self, connection: sa.Connection, service: str = "") -> bool:
        """Each statement after it sees what is committed by then (READ COMMITTED): all there is.
        So whether the service is fenced is a statement of its own: one that waited for the lock
        would see what was before; both go in one message.
        """
        lock = f"SELECT pg_advisory_xact_lock({_WRITER})"
        if not service:
            connection.exec_driver_sql(lock)
            return True
        both = f"{lock}; SELECT FROM members WHERE id = '{service}' AND fenced"
        sent = connection.exec_driver_sql(both, execution_options={"no_parameters": True})
        cursor: Any = sent.cursor
        cursor.nextset()
        fenced = cursor.fetchone() is not None
        sent.close()
        return not fenced

    def connect(self) -> psycopg.Connection[Any]:
        arguments, options = self._url.get_dialect()().create_connect_args(self._url)
        connection: psycopg.Connection[Any] = psycopg.connect(
            *arguments, autocommit=True, **{**options, **self._options}
        )
        self._note(connection)
        return connection

    def _note(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            self._open.add(connection)

    def cut(self) -> None:
        """A server that hangs still takes what is sent: nothing but this ends the wait for it."""
        with self._lock:
            connections = [*self._open]
        for connection in connections:
            with suppress(OSError, psycopg.Error):  # it was closed
                end = socket.socket(fileno=os.dup(connection.fileno()))
                with end:
                    end.shutdown(socket.SHUT_RDWR)

    def check(self, connection: sa.Connection) -> None:
        """Text must be ordered by code points: where a list of names goes on depends on it."""
        rows = sa.func.unnest(sa.literal(sorted(_ORDERED), sa.ARRAY(sa.Text))).column_valued("t")
        ordered = connection.scalars(sa.select(rows).order_by(rows)).all()
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8" or ordered != sorted(_ORDERED):
            name = self._url.database
            raise errors.OperationFailed(
                f"records: database {name} does not order text as records need it; one that does "
                f"is made by: CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' "
                "LOCALE 'C.UTF-8'"
            )

    def is_away(self, error: BaseException) -> bool:
        """No answer, or one of: connection lost (08), shut down or starting (57P), too many
        connections (53300), ended by an administrator's or a timeout's hand (25P03).
        """
        if not isinstance(error, _OF_CONNECTIONS):
            return False
        state = error.sqlstate
        return state is None or state.startswith(("08", "57P")) or state in ("53300", "25P03")

    def is_unwritable(self, error: BaseException) -> bool:
        return isinstance(error, psycopg.DataError) and "NUL" in str(error)


def application_name(service: str) -> str:
    """What all connections of a service are called, by which the others end them."""
    return f"rdms:{service}" if service else "openrdms"


def find_dialect(url: str, service: str = "") -> Dialect:
    """Of an SQLAlchemy URL. OperationFailed for a kind of database that we do not know."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise errors.OperationFailed("records: this is not the URL of a database") from error
    match parsed.get_backend_name():
        case "sqlite":
            return Sqlite(parsed)
        case "postgresql":
            return Postgresql(parsed, service)
        case other:
            raise errors.OperationFailed(f"records: no database of the kind {other!r}")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; see _begin_sqlite
    for pragma in (
        f"busy_timeout = {_BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"cache_size = -{_CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """IMMEDIATE takes the write lock first: a lock taken later can fail without waiting."""
    kind = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
