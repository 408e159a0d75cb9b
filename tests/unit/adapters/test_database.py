"""Changes that are committed together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.quick_reads import QuickReads
from openrdms.model import errors

Work = Callable[[sa.Connection], None]

_ONE = sa.select(sa.literal_column("1"))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/records.sqlite")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE things (number INTEGER, what BLOB)")
    yield database
    database.close()


def put(number: int, size: int = 1) -> Work:
    def work(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"INSERT INTO things VALUES ({number}, zeroblob({size}))")

    return work


def fill_disk(connection: sa.Connection) -> None:
    """As far as SQLite can tell: it undoes the whole transaction then."""
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")
    put(0, 1_000_000)(connection)


def together(database: Database, *works: Work) -> list[Future[None]]:
    """What comes of each, asked for in this order while another commit is under way."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(connection: sa.Connection) -> None:
        begun.set()
        go_on.wait(60)

    with ThreadPoolExecutor(1 + len(works)) as threads:
        threads.submit(database.grouped, hold)
        assert begun.wait(60)
        asked = []
        for work in works:
            asked.append(threads.submit(database.grouped, work))
            while len(database._waiting) < len(asked):
                time.sleep(0.001)
        go_on.set()
    return asked


def numbers(database: Database) -> list[int]:
    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT number FROM things ORDER BY number")
        return list(found.scalars())


def test_what_one_raises_undoes_its_own_changes_only(database: Database) -> None:
    def fail(connection: sa.Connection) -> None:
        put(2)(connection)
        raise errors.InvalidOperation("no")

    first, second, third = together(database, put(1), fail, put(3))
    assert (first.exception(), third.exception()) == (None, None)
    assert isinstance(second.exception(), errors.InvalidOperation)
    assert numbers(database) == [1, 3]


def test_a_group_that_cannot_begin_waits_for_that_once(database: Database) -> None:
    """Another process has the records: SQLite waits for half a minute."""
    attempts: list[sa.Connection] = []

    def refuse(connection: sa.Connection) -> None:
        attempts.append(connection)
        raise errors.OperationFailed("database is locked")

    def lock(connection: sa.Connection) -> None:
        sa.event.listen(database._engine, "begin", refuse, insert=True)

    with ThreadPoolExecutor(1) as threads:
        held, go_on = threading.Event(), threading.Event()

        def hold(connection: sa.Connection) -> None:
            held.set()
            go_on.wait(60)
            lock(connection)

        threads.submit(database.grouped, hold)
        assert held.wait(60)
        with ThreadPoolExecutor(3) as others:
            asked = [others.submit(database.grouped, put(number)) for number in range(3)]
            while len(database._waiting) < len(asked):
                time.sleep(0.001)
            go_on.set()
    assert [str(one.exception()) for one in asked] == ["database is locked"] * 3
    assert len(attempts) == 1


def test_what_a_full_disk_undoes_is_made_again(database: Database) -> None:
    """Nothing is said to be committed that went with the others' transaction."""
    first, second, third = together(database, put(1), fill_disk, put(3))
    assert (first.exception(), third.exception()) == (None, None)
    assert isinstance(second.exception(), errors.OperationFailed)
    assert numbers(database) == [1, 3]


def test_without_a_connection_that_becomes_free_records_are_away(tmp_path: Path) -> None:
    engine = sa.create_engine(
        f"sqlite:///{tmp_path}/records.sqlite", pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    reads = QuickReads(engine, lambda error: errors.RecordsUnavailable(str(error)))
    with engine.connect(), pytest.raises(errors.RecordsUnavailable):
        reads.rows(_ONE)
    assert [tuple(row) for row in reads.rows(_ONE)] == [(1,)]
    reads.close()
    engine.dispose()


def test_whatever_is_met_it_is_looked_for_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_engine: sa.Engine) -> sa.Connection:
        raise sa.exc.TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(sa.Engine, "connect", fail)
        with pytest.raises(errors.RecordsUnavailable):
            database._probe(1.0)
    database._probe(1.0)
