"""The records in SQLite, and what is particular to them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.store_suite import (
    LATER,
    NOW,
    OpenStore,
    StoreSuite,
    make_collection,
    make_desktop,
    make_job,
    make_plan,
)
from openrdms.adapters import sql
from openrdms.adapters.sql import schema
from openrdms.model import errors
from openrdms.model.job import Phase
from openrdms.ports import Store


def open_at(directory: Path) -> Store:
    return sql.open_store(f"sqlite:///{directory / 'records.sqlite'}")


class TestSqliteStore(StoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[OpenStore]:
        opened: list[Store] = []

        def open_store() -> Store:
            opened.append(open_at(tmp_path))
            return opened[-1]

        yield open_store
        for store in opened:
            store.close()


def test_no_statement_has_so_many_rows_that_the_database_waits_long_for_them(
    tmp_path: Path,
) -> None:
    counts: list[int] = []

    def count(_one: sa.Connection, _two: object, _text: str, rows: object, *_more: object) -> None:
        counts.append(len(rows) if isinstance(rows, list) else 1)

    store = open_at(tmp_path)
    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    store.put_desktops([make_desktop(f"vd-{number}") for number in range(2500)])
    sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert max(counts) == 1000
    assert len(store.list_desktops("farm")) == 2500
    store.close()


def _tables(database: sqlite3.Connection) -> dict[str, list[str]]:
    """Definitions by name, the order of columns and constraints aside."""
    rows = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: sorted(_parts(text)) for name, text in rows if name != "alembic_version"}


def _parts(text: str) -> list[str]:
    """What stands between the commas of the outermost parentheses."""
    head, _, body = text.partition("(")
    parts, depth = [""], 0
    for character in body.rpartition(")")[0]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [" ".join(part.split()) for part in (head, *parts)]


def test_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    open_at(tmp_path).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'declared.sqlite'}")
    schema.metadata.create_all(engine)
    engine.dispose()
    with (
        sqlite3.connect(tmp_path / "records.sqlite") as migrated,
        sqlite3.connect(tmp_path / "declared.sqlite") as declared,
    ):
        assert _tables(migrated) == _tables(declared)
    migrated.close()
    declared.close()


def test_postgresql_takes_the_same_tables() -> None:
    statements: list[str] = []
    engine = sa.create_mock_engine(
        "postgresql+psycopg://", lambda statement, *_: statements.append(str(statement))
    )
    schema.metadata.create_all(engine, checkfirst=False)
    assert len(statements) >= len(schema.metadata.tables)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE jobs SET state = 99",
        "UPDATE jobs SET state = 10",
        "UPDATE jobs SET ended = '2026-01-01 00:00:00'",
        "UPDATE jobs SET cancel_requested = '2026-01-01', state = 10, ended = '2026-01-01'",
        "UPDATE jobs SET cancel_requested = '2026-01-01', action = 'Delete'",
        "UPDATE jobs SET state = 11",
        "UPDATE jobs SET action = 'Paint'",
        "UPDATE collections SET state = 9",
        "UPDATE collections SET type = 4",
        "UPDATE desktops SET status = 1",
        "UPDATE desktops SET user_key = 'x'",
        "UPDATE job_desktops SET status = 'Perhaps'",
        (
            "INSERT INTO jobs SELECT '{other}', collection_key, collection, action, state,"
            " document, options, started, modified, ended, cancel_requested, error, service"
            " FROM jobs"
        ),
    ],
)
def test_an_illegal_row_cannot_be_stored(tmp_path: Path, change: str) -> None:
    store = open_at(tmp_path)
    store.create_collection(make_collection())
    job = make_job()
    store.accept_job(job)
    store.add_job_desktops(make_plan(job, "vd-1"), None)
    store.put_desktops([make_desktop("vd-2")])
    store.close()
    database = sqlite3.connect(tmp_path / "records.sqlite")
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(change)
    database.close()


def test_a_batch_of_fifty_desktops_is_one_transaction(tmp_path: Path) -> None:
    store = open_at(tmp_path)
    store.create_collection(make_collection())
    job = make_job()
    store.accept_job(job)
    rows = store.add_job_desktops(make_plan(job, *(f"vd-{n}" for n in range(50))), None)
    done = [replace(row, intended=Phase.DISK, done=Phase.DISK) for row in rows]
    commits: list[object] = []
    note = commits.append  # one object: a bound method is made anew at every look
    sa.event.listen(sa.Engine, "commit", note)
    try:
        store.put_job_desktops(done, LATER)
    finally:
        sa.event.remove(sa.Engine, "commit", note)
    store.close()
    assert len(commits) == 1


_KILLED = """
import os, sys
sys.path[:0] = {paths!r}
from contract.test_store_sqlite import *
store = open_at(Path({directory!r}))
store.create_collection(make_collection())
job = make_job()
store.accept_job(job)
store.request_cancel(job.guid, NOW)
print(job.guid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_was_promised_survives_a_kill(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    code = _KILLED.format(paths=[tests], directory=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    store = open_at(tmp_path)
    job = store.find_job(killed.stdout.strip())
    store.close()
    assert job is not None
    assert job.cancel_requested == NOW


def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(errors.OperationFailed, match="records"):
        open_at(tmp_path / "missing")


def test_quick_reads_see_each_commit_and_wait_for_no_writer(tmp_path: Path) -> None:
    store = open_at(tmp_path)
    store.create_collection(make_collection("farm"))
    with sqlite3.connect(tmp_path / "records.sqlite", isolation_level=None) as other:
        for number in range(3):
            store.set_property("farm", "Key", number)
            assert store.get_property("farm", "Key") == number
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE collection_values SET number = 99")
            assert store.get_property("farm", "Key") == number
            other.execute("COMMIT")
            assert store.get_property("farm", "Key") == 99
    other.close()
    store.close()


def test_a_quick_read_that_fails_is_an_error_of_ours_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    store = open_at(tmp_path)
    store.create_collection(make_collection("farm"))
    assert store.find_collection("farm")
    with sqlite3.connect(tmp_path / "records.sqlite") as other:
        other.execute("ALTER TABLE collections RENAME TO elsewhere")
        with pytest.raises(errors.OperationFailed, match="no such table"):
            store.find_collection("farm")
        other.execute("ALTER TABLE elsewhere RENAME TO collections")
    other.close()
    assert store.find_collection("farm")
    store.close()
