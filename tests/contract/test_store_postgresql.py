"""What is particular to records in PostgreSQL: its tables, its writers, its being away."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.session_host_suite import PERSONAL
from contract.store_suite import make_collection, make_desktop, make_job
from live.postgresql import PostgreSql, running_server
from live.service import until
from openrdms.adapters import sql
from openrdms.adapters.sql import schema
from openrdms.adapters.sql.addresses import check_address
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.dialects import CONNECT_OPTIONS, find_dialect
from openrdms.model import errors

COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
  WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""
INDEXES = """
SELECT tablename, indexname, regexp_replace(indexdef, '.* USING', '') FROM pg_indexes
  WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1, 2
"""
CHECKS = """
SELECT conrelid::regclass::text, contype, pg_get_constraintdef(oid) FROM pg_constraint
  WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
  ORDER BY 1, 2, 3
"""

_OF_TYPES = r"::text|\[\]|[() ]"


@pytest.fixture
def own_server() -> Iterator[PostgreSql]:
    """Which a test may stop."""
    with running_server() as server:
        yield server


@pytest.mark.parametrize("query", [COLUMNS, INDEXES, CHECKS])
def test_migrations_make_the_tables_that_the_code_uses(postgresql: PostgreSql, query: str) -> None:
    migrated, declared = postgresql.create_records(), postgresql.create_database()
    engine = sa.create_engine(postgresql.url(declared).replace(":", "+psycopg:", 1))
    schema.metadata.create_all(engine)
    engine.dispose()
    with postgresql.connect(migrated) as ours, postgresql.connect(declared) as theirs:
        assert _plain(ours.execute(query)) == _plain(theirs.execute(query))
    postgresql.drop(migrated)
    postgresql.drop(declared)


def _plain(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without the difference between text and character varying, of which there is none."""
    return sorted(
        tuple(re.sub(_OF_TYPES, "", text.replace("character varying", "text")) for text in row)
        for row in rows
    )


def test_services_that_start_at_once_make_the_tables_once(postgresql: PostgreSql) -> None:
    database = postgresql.create_database()
    with ThreadPoolExecutor(4) as threads:
        opened = [threads.submit(sql.open_store, postgresql.url(database)) for _ in range(4)]
        for store in opened:
            store.result().close()
    postgresql.drop(database)


def test_a_database_with_another_order_of_text_is_refused(postgresql: PostgreSql) -> None:
    with postgresql.connect() as server:
        server.execute(
            "CREATE DATABASE by_language TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'"
        )
    with pytest.raises(errors.OperationFailed, match="CREATE DATABASE by_language"):
        sql.open_store(postgresql.url("by_language"))
    postgresql.drop("by_language")


def test_a_user_who_may_not_come_in_is_told_so_without_his_password(postgresql: PostgreSql) -> None:
    url = postgresql.url("postgres").replace("the%20password", "secret")
    with pytest.raises(errors.RecordsUnavailable, match="authentication") as refused:
        sql.open_store(url)
    assert "secret" not in str(refused.value)


def test_a_newer_schema_is_used_by_programs_that_can(
    postgresql: PostgreSql, postgresql_records: str
) -> None:
    database = postgresql_records.rpartition("/")[2]
    with postgresql.connect(database) as newer:
        [(known,)] = newer.execute("SELECT version_num FROM alembic_version")
        [(needed,)] = newer.execute("SELECT oldest FROM schema_needs")
        newer.execute("UPDATE alembic_version SET version_num = '9998'")
        sql.open_store(postgresql_records).close()
        newer.execute("UPDATE schema_needs SET oldest = '9998'")
        with pytest.raises(errors.OperationFailed, match="a newer version has made these tables"):
            sql.open_store(postgresql_records)
        newer.execute("UPDATE schema_needs SET oldest = %s", [needed])
        newer.execute("UPDATE alembic_version SET version_num = %s", [known])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE jobs SET state = 99",
        "UPDATE jobs SET ended = '2026-01-01 00:00:00'",
        "UPDATE jobs SET action = 'Paint'",
        "UPDATE desktops SET status = 1",
        "UPDATE session_collections SET type = 2",
        (
            "INSERT INTO jobs SELECT '{other}', collection_key, collection, action, state,"
            " document, options, started, modified, ended, cancel_requested, error FROM jobs"
        ),
    ],
)
def test_an_illegal_row_cannot_be_stored(
    postgresql: PostgreSql, postgresql_records: str, change: str
) -> None:
    store = sql.open_store(postgresql_records)
    store.create_collection(make_collection())
    store.create_session_collection(PERSONAL)
    store.accept_job(make_job())
    store.put_desktops([make_desktop("vd-2")])
    store.close()
    with (
        postgresql.connect(postgresql_records.rpartition("/")[2]) as records,
        pytest.raises(psycopg.IntegrityError),
    ):
        records.execute(change)


def test_nobody_writes_what_another_was_about_to_change(postgresql_records: str) -> None:
    """Read, decide, write: as of one service, so of several."""
    stores = [Database(postgresql_records) for _ in range(3)]

    table = sa.table("settings", sa.column("key"), sa.column("value"))
    with stores[0].write() as connection:
        connection.execute(sa.insert(table), {"key": "count", "value": "0"})

    def count_up(database: Database) -> None:
        for _ in range(30):
            with database.write() as connection:
                seen = connection.execute(sa.select(table.c.value)).scalar_one()
                connection.execute(sa.update(table).values(value=str(int(seen) + 1)))

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(count_up, store) for store in stores * 2]:
            done.result()
    with stores[1].read() as connection:
        assert connection.execute(sa.select(table.c.value)).scalar_one() == "180"
    for store in stores:
        store.close()


def test_a_read_sees_one_state_and_changes_nothing(postgresql_records: str) -> None:
    database = Database(postgresql_records)
    tasks = sa.text("SELECT count(*) FROM schema_needs")
    with database.read() as connection:
        before = connection.execute(tasks).scalar_one()
        with database.write() as writer:
            writer.execute(sa.text("INSERT INTO schema_needs VALUES ('0001')"))
        assert connection.execute(tasks).scalar_one() == before
    with database.write() as writer:
        writer.execute(sa.text("DELETE FROM schema_needs WHERE oldest = '0001'"))
    with pytest.raises(errors.OperationFailed, match="read-only"), database.read() as connection:
        connection.execute(sa.text("DELETE FROM schema_needs"))
    database.close()


@given(before=st.text(max_size=3), after=st.text(max_size=3))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_has_the_character_that_cannot_be_kept(
    postgresql_records: str, before: str, after: str
) -> None:
    store = sql.open_store(postgresql_records)
    for change in (
        lambda text: store.create_collection(make_collection(text)),
        store.find_collection,
    ):
        with pytest.raises(errors.InvalidParameter, match=r"U\+0000"):
            change(f"{before}\0{after}")
    store.close()


def test_while_it_is_away_all_is_refused_at_once_and_then_works_again(
    own_server: PostgreSql,
) -> None:
    url = own_server.url(own_server.create_records())
    database = Database(url)
    store = sql.open_store(url)
    store.create_collection(make_collection("farm"))
    assert database.available.is_set()
    away: list[float] = []
    database.on_return(lambda _connection, seconds: away.append(seconds))
    before = set(threading.enumerate())
    own_server.stop()
    for ask in (
        lambda: store.find_collection("farm"),
        lambda: store.list_collections(),
        lambda: store.create_collection(make_collection("barn")),
        lambda: store.put_desktops([make_desktop("vd-1")]),
    ):
        with pytest.raises(errors.RecordsUnavailable):
            ask()
    with pytest.raises(errors.RecordsUnavailable), database.read() as connection:
        connection.execute(sa.text("SELECT 1"))
    assert not database.available.is_set()
    probes = {thread for thread in threading.enumerate() if thread.name == "records-probe"}
    assert len(probes - before) == 2
    own_server.start()
    assert database.available.wait(60)
    assert away[-1] > 0
    until("the other one is back, too", lambda: _is_there(store))
    assert [one.alias for one in store.list_collections()] == ["farm"]
    store.create_collection(make_collection("barn"))
    store.close()
    database.close()


def _is_there(store: sql.store.ports.Store) -> bool:
    try:
        return store.find_collection("farm") is not None
    except errors.RecordsUnavailable:
        return False


def test_one_of_several_servers_is_found(postgresql_records: str) -> None:
    url = sa.make_url(postgresql_records)
    here = f"{url.host}:{url.port}"
    several = sa.URL.create(
        url.drivername,
        url.username,
        url.password,
        database=url.database,
        query={"host": (here,) * 2},
    )
    with find_dialect(several.render_as_string(hide_password=False)).connect() as connection:
        assert connection.info.host == url.host


def test_a_connection_that_an_administrator_ends_is_replaced(
    postgresql: PostgreSql, postgresql_records: str
) -> None:
    store = sql.open_store(postgresql_records)
    store.create_collection(make_collection("farm"))
    assert store.find_collection("farm")
    with postgresql.connect() as server:
        server.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s",
            [postgresql_records.rpartition("/")[2]],
        )
    until("it is used again", lambda: _is_there(store))
    store.create_collection(make_collection("barn"))
    store.close()


def test_who_is_too_busy_with_a_transaction_is_told_to_try_again(
    postgresql_records: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = re.sub("(session_timeout)=[0-9]+s", r"\1=1s", CONNECT_OPTIONS["options"])
    monkeypatch.setitem(CONNECT_OPTIONS, "options", options)
    database = Database(postgresql_records)
    with pytest.raises(errors.RecordsUnavailable), database.write() as connection:
        connection.execute(sa.text("SELECT 1"))
        time.sleep(2.5)
        connection.execute(sa.text("SELECT 1"))
    assert database.available.wait(60)
    database.close()


def test_a_crash_loses_nothing_that_was_committed(own_server: PostgreSql) -> None:
    store = sql.open_store(own_server.url(own_server.create_records()))
    store.create_collection(make_collection("farm"))
    own_server.crash()
    own_server.start()
    until("it is there again", lambda: _is_there(store))
    store.close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://rdms:secret@db.example/rdms", "no password"),
        ("postgresql://rdms@db.example/rdms?password=secret", "no password"),
        ("postgresql://rdms@db.example/rdms?sslpassword=secret", "no password"),
        ("postgresql://rdms@db.example", "must be postgresql://"),
        ("mysql://rdms@db.example/rdms", "must be postgresql://"),
        ("sqlite:////tmp/records.sqlite", "must be postgresql://"),
        ("db.example", "not the URL"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(address: str, words: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=words) as refused:
        check_address("--database", address)
    assert refused.value.field == "--database"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://rdms@db.example/rdms",
        "postgresql://rdms@/rdms?host=/run/postgresql",
        "postgresql://rdms@db.example:5433/rdms?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
    ],
)
def test_an_address_can_be(address: str) -> None:
    check_address("--database", address)
