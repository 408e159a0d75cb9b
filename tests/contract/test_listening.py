"""What one service commits another one hears; both have their own store on one PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql as text

from contract.store_suite import make_collection, make_desktop
from live.postgresql import PostgreSql
from openrdms.adapters import sql
from openrdms.adapters.sql import dialects, listening
from openrdms.adapters.sql.dialects import find_dialect
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.ports import Store

PATIENCE = 60.0


class Ear:
    """What a service hears of others, and how often it may have missed something."""

    def __init__(self, store: Store) -> None:
        self.heard: list[tuple[Kind, str]] = []
        self.missed = 0
        self._changed = threading.Condition()
        store.listen(self._hear, self._miss)

    def _hear(self, kind: Kind, keys: Sequence[str]) -> None:
        with self._changed:
            self.heard += [(kind, key) for key in keys]
            self._changed.notify_all()

    def _miss(self) -> None:
        with self._changed:
            self.missed += 1
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), (self.heard, self.missed)

    def wait_for(self, kind: Kind, key: str) -> None:
        self.wait(lambda: (kind, key) in self.heard)


@pytest.fixture
def stores(postgresql_records: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Store]]:
    """A busy machine is no lost connection, on which something may be missed."""
    monkeypatch.setattr(listening, "_SILENCE", 60.0)
    opened = [sql.open_store(postgresql_records, name) for name in ("a" * 16, "b" * 16)]
    yield opened
    for store in opened:
        store.close()


@pytest.fixture
def one(stores: list[Store]) -> Store:
    return stores[0]


@pytest.fixture
def other(stores: list[Store]) -> Store:
    return stores[1]


def test_others_hear_and_oneself_is_told_once(one: Store, other: Store) -> None:
    mine: list[tuple[Kind, Sequence[str]]] = []
    one.subscribe(lambda kind, keys: mine.append((kind, keys)))
    own, ear = Ear(one), Ear(other)
    took = []
    for number in range(20):
        began = time.monotonic()
        one.create_collection(make_collection(f"farm{number}"))
        ear.wait_for(Kind.COLLECTION, f"farm{number}")
        took.append(time.monotonic() - began)
    other.create_collection(make_collection("last"))
    own.wait_for(Kind.COLLECTION, "last")
    told = [(Kind.COLLECTION, [f"farm{number}"]) for number in range(20)]
    assert mine == [*told, (Kind.COLLECTION, ["last"])]
    assert own.heard == [(Kind.COLLECTION, "last")]
    assert sorted(took)[10] < 1


def test_what_was_committed_before_one_listens_is_heard(one: Store, other: Store) -> None:
    one.create_collection(make_collection("farm"))
    Ear(other).wait_for(Kind.COLLECTION, "farm")


def test_many_changes_of_one_transaction(one: Store, other: Store) -> None:
    ear = Ear(other)
    names = [f"desktop-with-a-rather-long-name-{number:04}-ü" for number in range(2000)]
    one.put_desktops([make_desktop(name) for name in names])
    ear.wait(lambda: len(ear.heard) >= len(names))
    assert ear.heard == [(Kind.DESKTOP, name) for name in names]


def test_who_was_cut_off_hears_again_and_knows_that_he_missed_something(
    postgresql: PostgreSql, postgresql_records: str, one: Store, other: Store
) -> None:
    ear = Ear(other)
    one.create_collection(make_collection("before"))
    ear.wait_for(Kind.COLLECTION, "before")
    _cut(postgresql, postgresql_records.rpartition("/")[2])
    ear.wait(lambda: ear.missed >= 1)
    one.create_collection(make_collection("after"))
    ear.wait_for(Kind.COLLECTION, "after")


@pytest.mark.parametrize("payload", ["no JSON", "7", "[1, 2]", '["other", 1, ["farm"]]'])
def test_what_is_none_of_our_notices_ends_nothing(
    postgresql_records: str, payload: str, one: Store, other: Store
) -> None:
    ear = Ear(other)
    with find_dialect(postgresql_records).connect() as anybody:
        anybody.execute("SELECT pg_notify('openrdms_changes', %s)", (payload,))
    ear.wait(lambda: ear.missed >= 1)
    one.create_collection(make_collection("after"))
    ear.wait_for(Kind.COLLECTION, "after")


def test_who_rolls_back_tells_nothing(one: Store, other: Store) -> None:
    ear = Ear(other)
    one.create_collection(make_collection("farm"))
    with pytest.raises(errors.AlreadyExists):
        one.create_collection(make_collection("FARM"))
    one.create_collection(make_collection("last"))
    ear.wait_for(Kind.COLLECTION, "last")
    assert ear.heard == [(Kind.COLLECTION, "farm"), (Kind.COLLECTION, "last")]


def test_what_is_on_no_record_is_told_to_others_alone_whoever_writes(
    postgresql_records: str, one: Store, other: Store
) -> None:
    mine: list[Kind] = []
    one.subscribe(lambda kind, _keys: mine.append(kind))
    ear = Ear(other)
    keys = [f"{number:04}" * 1725 for number in range(30)]
    with find_dialect(postgresql_records).connect() as writer, writer.transaction():
        writer.execute("SELECT pg_advisory_xact_lock(%s)", (dialects._WRITER,))
        one.tell_others(Kind.ANSWER, keys)
        ear.wait_for(Kind.ANSWER, keys[-1])
    assert ear.heard == [(Kind.ANSWER, key) for key in keys]
    assert not mine


def test_a_service_alone_tells_nobody(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    file = tmp_path / "records.sqlite"
    store = sql.open_store(f"sqlite:///{file}")
    statements: list[str] = []

    def note(connection: sa.Connection, *given: object) -> None:
        if connection.engine.url.database == str(file):
            statements.append(str(given[1]))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    ear = Ear(store)
    store.create_collection(make_collection("farm"))
    store.tell_others(Kind.POOL, ["farm"])
    sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert statements
    assert set(threading.enumerate()) <= before  # those of other tests may be ending
    assert not ear.heard
    assert not [one for one in statements if "notify" in one or "members" in one]
    store.close()


def _cut(postgresql: PostgreSql, database: str) -> None:
    """End all connections that listen."""
    listening = text.SQL(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = {} AND query LIKE 'LISTEN %'"
    )
    server: psycopg.Connection
    with postgresql.connect() as server:
        ended = server.execute(listening.format(text.Literal(database))).fetchall()
    assert len(ended) == 2
