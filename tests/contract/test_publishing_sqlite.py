"""Publishing records in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.publishing_suite import PublishingSuite, make_application, offered
from contract.store_suite import OpenStore, make_collection
from contract.test_store_sqlite import open_at
from openrdms.model.collection import Collection
from openrdms.ports import Store


class TestSqlitePublishing(PublishingSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[OpenStore]:
        opened: list[Store] = []

        def open_store() -> Store:
            opened.append(open_at(tmp_path))
            return opened[-1]

        yield open_store
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        return open_store()

    @pytest.fixture
    def farm(self, store: Store) -> Collection:
        collection = make_collection()
        store.create_collection(collection)
        return collection


def test_a_lost_feed_comes_back(tmp_path: Path) -> None:
    store = open_at(tmp_path)
    for alias in ("farm", "barn"):
        store.create_collection(make_collection(alias))
    store.create_application(make_application())
    whole = offered(store)
    with sqlite3.connect(tmp_path / "records.sqlite") as records:
        records.execute("DELETE FROM feed")
    records.close()
    assert store.list_feed() == []
    store.rebuild_feed("FARM")
    assert offered(store) == [("farm", "calc")]
    store.rebuild_feed()
    assert offered(store) == whole
    store.close()
