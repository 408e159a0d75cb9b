"""Publishing records in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa

from contract.publishing_suite import PublishingSuite, make_application, offered
from contract.store_suite import OpenStore, make_collection
from contract.test_store_sqlite import open_at
from openrdms.model import errors
from openrdms.model.collection import Collection
from openrdms.model.session_host import SessionCollection
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


def _open_before_publishing(file: Path, *farms: tuple[str, str | None]) -> None:
    """Records as an older service has left them: collections, by alias and VmFarmSettings."""
    config = alembic.config.Config()
    config.set_main_option("script_location", "openrdms.adapters.sql:migrations")
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0002")
        for alias, settings in farms:
            connection.exec_driver_sql(
                "INSERT INTO collections VALUES (?, ?, ?, ?, 1, 1, NULL, NULL, ?, NULL, NULL,"
                " 1, 0, 0, 1, 0, '')",
                (alias.casefold(), f"the {alias.casefold()}", alias, f"The {alias}", settings),
            )
    engine.dispose()


def test_older_records_get_names_and_a_feed(tmp_path: Path) -> None:
    _open_before_publishing(tmp_path / "records.sqlite", ("Farm", None))
    store = open_at(tmp_path)
    with pytest.raises(errors.AlreadyExists, match="Alias"):
        store.create_collection(make_collection("FARM"))
    with pytest.raises(errors.AlreadyExists, match="Name"):
        store.create_session_collection(SessionCollection("other", "THE FARM"))
    assert store.list_feed() == []
    store.rebuild_feed()
    assert offered(store) == [("Farm", "")]
    assert store.create_application(make_application()).collection == "Farm"
    store.delete_collection("farm")
    store.create_session_collection(SessionCollection("farm", "The farm"))
    store.close()


def _put_disks_on(share: str) -> str:
    return (
        '<Farm><Metadata Name="SaveDelay" Value="0" />'
        '<Metadata Name="UvhdProfRoamingEnabled" Value="true" />'
        f'<Metadata Name="UvhdShareUrl" Value="{share}" /></Farm>'
    )


def test_a_share_of_older_records_belongs_to_one_collection(tmp_path: Path) -> None:
    shared, same = _put_disks_on("/srv/disks"), _put_disks_on("/srv/disks/")
    older = (("Barn", shared), ("Farm", same), ("Odd", "<Farm"))
    _open_before_publishing(tmp_path / "records.sqlite", *older)
    store = open_at(tmp_path)
    with pytest.raises(errors.AlreadyExists, match="'Barn'"):
        store.create_collection(make_collection("mill", vm_farm_settings=shared))
    store.delete_collection("barn")
    store.create_collection(make_collection("mill", vm_farm_settings=shared))
    store.close()
