"""One database: its connections, its transactions, its migrations."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NoReturn, TypeVar

import psycopg
import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.availability import AWAY, Availability
from openrdms.adapters.sql.dialects import find_dialect
from openrdms.adapters.sql.listening import Alone, Listening, Notices, Speaking
from openrdms.adapters.sql.migrating import migrate
from openrdms.adapters.sql.quick_reads import QuickReads, SharedReads
from openrdms.model import errors
from openrdms.model.change import Kind

T = TypeVar("T")

_CHANGES = "changes"

_BEAT = sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.bindparam("text")))

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
    """Short transactions from any thread; those that write come one after the other, whichever
    service they are of.

    While it is away all that is asked of it raises RecordsUnavailable: nothing was changed then,
    unless the answer to a commit was lost.
    """

    def __init__(
        self, url: str, member: str = "", end: Callable[[str], None] = lambda why: None
    ) -> None:
        """Opens the database and brings it to the newest schema. OperationFailed.

        ``member`` is the id of the service that it is for, among others; "" for one that is alone.
        One that is fenced is to ``end``, which is told why; should it return Fenced is raised.
        """
        self.service = member
        self._end = end
        self._fenced_as = ""
        self._is_open = False
        self._dialect = find_dialect(url, member)
        self._engine = self._dialect.open_engine()
        self._reader = self._dialect.reader(self._engine)
        self._writer = self._dialect.writer(self._engine)
        self._availability = Availability(self._probe, self._forget)
        self._writing = threading.Lock()
        self._queueing = threading.Lock()
        self._urgent: deque[_Change[Any]] = deque()
        self._waiting: deque[_Change[Any]] = deque()
        self._led = False
        self._listeners: list[Callable[[Kind, Sequence[str]], None]] = []
        self._on_return: list[Callable[[sa.Connection, float], None]] = []
        self.quick = self._open_quick_reads()
        """For single statements that are asked all the time."""
        self._notices = self._open_notices()
        self._migrate()
        self._fenced_as = member  # until here there may be no table of members
        self._is_open = True

    @property
    def is_shared(self) -> bool:
        """Whether several services may have it."""
        return self._dialect.is_shared

    def is_left(self, service: sa.Column[str]) -> sa.ColumnElement[bool]:
        """What no service that lives has under way, by that column; all where one is alone."""
        if not self.is_shared:
            return sa.true()
        live = sa.select(schema.members.c.id).where(~schema.members.c.fenced)
        return service.not_in(live)

    @property
    def available(self) -> threading.Event:
        """Set while the database answers."""
        return self._availability.event

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of all records."""
        with self._guarded(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is alone in writing; committed when the block ends well."""
        with self._writing:
            with self._guarded(), self._writer.begin() as connection:
                self._begin_writing(connection)
                changes = _collect_changes(connection)
                yield connection
                sent = self._notices.send(connection, changes)
            self._tell(changes)
            self._notices.note_told(sent)

    def _begin_writing(self, connection: sa.Connection) -> None:
        if not self._dialect.begin_writing(connection, self._fenced_as):
            self.end_fenced("the other services have taken this one for dead")

    def end_fenced(self, why: str) -> NoReturn:
        """Do nothing any more: this service may not act."""
        self._end(why)
        raise errors.Fenced(why)

    def connect(self) -> psycopg.Connection[Any]:
        """See dialects.Dialect."""
        return self._dialect.connect()

    def give_up(self, why: str) -> None:
        """It does not answer: whoever waits for it, or asks from now on, is told so at once."""
        self._availability.lose(why)
        self._dialect.cut()

    def on_return(self, work: Callable[[sa.Connection, float], None]) -> None:
        """Do this, in a transaction that writes, when the database has been away for some seconds,
        before anybody else asks it anything.
        """
        self._on_return.append(work)

    def subscribe(self, listener: Callable[[Kind, Sequence[str]], None]) -> None:
        """See ports.RecordNotices."""
        self._listeners.append(listener)

    def listen(
        self, listener: Callable[[Kind, Sequence[str]], None], missed: Callable[[], None]
    ) -> None:
        """See ports.RecordNotices."""
        self._notices.listen(listener, missed)

    def tell_others(self, kind: Kind, keys: Sequence[str]) -> None:
        """See ports.RecordNotices."""
        if self.is_shared:
            with self._guarded(), self._writer.begin() as connection:
                sent = self._notices.send(connection, {kind: keys})
            self._notices.note_told(sent)

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
            with self._guarded(), self._writer.begin() as connection:
                self._begin_writing(connection)
                begun = True
                noted = _collect_changes(connection)
                for change in changes:
                    change.result = change.work(connection)
                sent = self._notices.send(connection, noted)
                made = True
            self._tell(noted)
            self._notices.note_told(sent)
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
            self._tell_of(kind, list(keys))

    def _tell_of(self, kind: Kind, keys: Sequence[str]) -> None:
        for listener in self._listeners:
            listener(kind, keys)

    def _open_notices(self) -> Notices:
        if not self.is_shared:
            return Alone()
        if not self.service:
            return Speaking()
        try:
            return Listening(self.connect, self._beat, self._tell_of)
        except psycopg.Error as error:
            raise self._translate(error) from error

    def _beat(self, channel: str, text: str) -> None:
        self.quick.rows(_BEAT, channel=channel, text=text)

    def _open_quick_reads(self) -> QuickReads:
        connections = self._dialect.quick_connections
        if connections is None:
            return QuickReads(self._engine, self._translate)
        return SharedReads(self._engine, self._translate, self._availability, connections)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Errors of the driver become ours."""
        self._availability.check()
        try:
            yield
        except (sa.exc.StatementError, sa.exc.TimeoutError) as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> errors.RdmsError:
        """Of SQLAlchemy or, below it, of the driver itself."""
        cause = (error.orig if isinstance(error, sa.exc.StatementError) else None) or error
        words = f"records: {cause}"
        if isinstance(error, sa.exc.IntegrityError):
            # Whatever a caller may meet is checked before, in words; this is the last defence.
            return errors.InvalidOperation(words)
        if self._dialect.is_away(cause):
            self._availability.lose(str(cause))
            return errors.RecordsUnavailable(AWAY if self._is_open else words)
        if isinstance(error, sa.exc.TimeoutError):  # no connection of the pool became free
            return errors.RecordsUnavailable(words)
        if self._dialect.is_unwritable(cause):
            return errors.InvalidParameter("text", "cannot have the character U+0000")
        return errors.OperationFailed(words)

    def _forget(self) -> None:
        """What was connected to a database that is away is of no use any more."""
        self.quick.close()
        self._engine.dispose()

    def _probe(self, away: float) -> None:
        """RecordsUnavailable."""
        try:
            with self._writer.begin() as connection:
                self._begin_writing(connection)
                for work in self._on_return:
                    work(connection, away)
        except Exception as error:  # whatever it is: nobody else looks for its return
            raise errors.RecordsUnavailable(str(error)) from error

    def close(self) -> None:
        self._notices.close()
        self._availability.close()
        self.quick.close()
        self._engine.dispose()

    def _migrate(self) -> None:
        try:
            with self.write() as connection:
                self._dialect.check(connection)
                migrate(connection)
        except errors.RdmsError:
            self.close()
            raise


def note_change(connection: sa.Connection, kind: Kind, *keys: str) -> None:
    """Have listeners told, once the transaction is committed, that these have changed."""
    connection.info[_CHANGES].setdefault(kind, {}).update(dict.fromkeys(keys))


def _collect_changes(connection: sa.Connection) -> dict[Kind, dict[str, None]]:
    """What will be noted on the connection from here on, each key once and in order."""
    changes: dict[Kind, dict[str, None]] = {}
    connection.info[_CHANGES] = changes
    return changes
