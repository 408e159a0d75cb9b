"""One database: its connections, its transactions, its migrations."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import alembic.command
import alembic.config
import sqlalchemy as sa

from openrdms.adapters.sql.quick_reads import QuickReads
from openrdms.model import errors
from openrdms.model.change import Kind

_CACHE_KIB = 512
"""Of each SQLite connection, of which there are as many as threads that read at once; what it does
not keep the system does.
"""

_BUSY_SECONDS = 30
"""How long a transaction waits for one of another process (``rdms image`` beside a service)."""


T = TypeVar("T")

_CHANGES = "changes"

_GROUP = 20
"""Changes that are committed together at most, so that nobody waits long for the others'."""


class _Change(Generic[T]):
    """A change that waits to be committed, and what came of it.

    Who made it is ``told`` when it is ``done``, or when it is his turn to commit what waits.
    """

    def __init__(self, work: Callable[[sa.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.told = threading.Event()
        self.result: T | None = None
        self.error: BaseException | None = None


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
        self._queueing = threading.Lock()
        self._urgent: deque[_Change[Any]] = deque()
        self._waiting: deque[_Change[Any]] = deque()
        self._led = False
        self._listeners: list[Callable[[Kind, Sequence[str]], None]] = []
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
        with self._writing:
            with _translated(), self._writer.begin() as connection:
                changes = _collect_changes(connection)
                yield connection
            self._tell(changes)

    def subscribe(self, listener: Callable[[Kind, Sequence[str]], None]) -> None:
        """See ports.RecordNotices."""
        self._listeners.append(listener)

    def grouped(self, work: Callable[[sa.Connection], T], *, urgent: bool = False) -> T:
        """What ``work`` returns, once it is committed, together with what other threads ask for.

        The disk takes as long for one commit as for many. Whatever ``work`` raises undoes its own
        changes only; it must be quick, may not wait for another thread, and is called again when
        another one of its group has failed. ``urgent`` goes first: a user waits for it.
        """
        change = _Change(work)
        with self._queueing:
            leads, self._led = not self._led, True
            if not leads:
                (self._urgent if urgent else self._waiting).append(change)
        if not leads:
            change.told.wait()
        if not change.done:
            self._lead(change)
        if change.error:
            raise change.error
        return change.result  # type: ignore[return-value]  # it is T, perhaps None

    def _lead(self, mine: _Change[Any]) -> None:
        """Commit it with what waits, and leave the lead to the first of those who came meanwhile.

        Whoever is done need not compete for a lock to learn of it.
        """
        with self._writing:
            with self._queueing:
                changes = [mine, *self._next(_GROUP - 1)]
            self._commit(changes)
        with self._queueing:
            heirs = self._next(1)
            self._led = bool(heirs)
        for change in (*heirs, *changes):
            change.told.set()

    def _next(self, most: int) -> list[_Change[Any]]:
        """Take out those whose turn it is."""
        size = min(most, len(self._urgent) + len(self._waiting))
        return [(self._urgent or self._waiting).popleft() for _ in range(size)]

    def _commit(self, changes: list[_Change[Any]]) -> None:
        """Savepoints would cost each change more than it takes: when one fails all are undone,
        and then made one by one. When none can begin, which takes its time, all fail at once.
        """
        begun = made = False
        try:
            with _translated(), self._writer.begin() as connection:
                begun = True
                noted = _collect_changes(connection)
                for change in changes:
                    change.result = change.work(connection)
                made = True
            self._tell(noted)
        except BaseException as error:  # noqa: BLE001  it is raised to who asked for the change
            if made or not begun or len(changes) == 1:
                for change in changes:
                    change.error = error
            else:
                for change in changes:
                    self._commit([change])
        for change in changes:
            change.done = True

    def _tell(self, changes: dict[Kind, dict[str, None]]) -> None:
        for kind, keys in changes.items():
            for listener in self._listeners:
                listener(kind, list(keys))

    def close(self) -> None:
        self.quick.close()
        self._engine.dispose()

    def _migrate(self) -> None:
        config = alembic.config.Config()
        config.set_main_option("script_location", "openrdms.adapters.sql:migrations")
        with self.write() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")


def note_change(connection: sa.Connection, kind: Kind, *keys: str) -> None:
    """Have listeners told, once the transaction is committed, that these have changed."""
    connection.info[_CHANGES].setdefault(kind, {}).update(dict.fromkeys(keys))


def _collect_changes(connection: sa.Connection) -> dict[Kind, dict[str, None]]:
    """What will be noted on the connection from here on, each key once and in order."""
    changes: dict[Kind, dict[str, None]] = {}
    connection.info[_CHANGES] = changes
    return changes


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
        f"cache_size = -{_CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """IMMEDIATE takes the write lock first: a lock taken later can fail without waiting."""
    kind = connection.get_execution_options().get("begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
