"""Session hosts, assignments and settings in SQLite, and rows that it keeps out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.session_host_suite import PERSONAL, SessionHostSuite, make_hosts
from contract.store_suite import OpenStore
from openrdms.adapters import sql
from openrdms.model.assignment import Assignment
from openrdms.ports import Store


def open_at(directory: Path) -> Store:
    return sql.open_store(f"sqlite:///{directory / 'records.sqlite'}")


class TestSqliteSessionHosts(SessionHostSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[OpenStore]:
        opened: list[Store] = []

        def open_store() -> Store:
            opened.append(open_at(tmp_path))
            return opened[-1]

        yield open_store
        for store in opened:
            store.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE session_collections SET type = 2",
        "UPDATE session_hosts SET state = 6",
        "UPDATE session_hosts SET place = 1",
        "UPDATE session_hosts SET state = 9, place = 1",
        "UPDATE session_hosts SET collection = ''",
        "UPDATE session_hosts SET collection_key = 'nothing'",
        "UPDATE desktop_assignments SET desktop_key = 'two.example'",
        "UPDATE desktop_assignments SET user_key = 'ann'",
        "UPDATE desktop_assignments SET collection_key = 'nothing'",
        "DELETE FROM session_collections",
        "INSERT INTO settings VALUES ('KEY', NULL)",
    ],
)
def test_an_illegal_row_cannot_be_stored(tmp_path: Path, change: str) -> None:
    store = open_at(tmp_path)
    store.create_session_collection(PERSONAL)
    make_hosts(store, "one", "two", collection="hosts")
    for host, user in (("one", "ann"), ("two", "bob")):
        store.add_assignment(Assignment("hosts", f"{host}.example", user, "CORP"))
    store.close()
    database = sqlite3.connect(tmp_path / "records.sqlite")
    database.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(change)
    database.close()
