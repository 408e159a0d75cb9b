"""Session collections, their properties and their key/value pairs."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from openrdms.adapters.sql import rows, session_tables
from openrdms.adapters.sql.collection_names import claim_names, claim_share, release_names, rename
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.feed import refresh_feed
from openrdms.adapters.sql.values import drop_value, find_value, put_value
from openrdms.model import errors
from openrdms.model.collection import CollectionKind
from openrdms.model.session_host import SessionCollection

_collections = session_tables.collections
_values = session_tables.collection_values
_pairs = session_tables.pairs
_hosts = session_tables.hosts
_SHARE_KEY = "uservhdshare"


class SessionCollectionRecords:
    """The part of ports.SessionHostStore about collections."""

    _database: Database

    def list_session_collections(self) -> list[SessionCollection]:
        with self._database.read() as connection:
            order = [_collections.c.alias_key]
            return rows.select_records(connection, SessionCollection, _collections, order=order)

    def find_session_collection(self, alias: str) -> SessionCollection | None:
        with self._database.read() as connection:
            return find_session_collection(connection, alias)

    def create_session_collection(self, collection: SessionCollection) -> None:
        with self._database.write() as connection:
            claim_names(connection, CollectionKind.SESSIONS, collection.alias, collection.name)
            connection.execute(sa.insert(_collections).values(_render(collection)))
            refresh_feed(connection, collection.alias)

    def change_session_collection(
        self, alias: str, change: Callable[[SessionCollection], SessionCollection]
    ) -> None:
        with self._database.write() as connection:
            changed = change(get_session_collection(connection, alias))
            rename(connection, alias, changed.name)
            update = sa.update(_collections).where(_is(alias)).values(_render(changed))
            connection.execute(update)
            refresh_feed(connection, alias)

    def delete_session_collection(self, alias: str) -> None:
        with self._database.write() as connection:
            get_session_collection(connection, alias)
            _check_empty(connection, alias)
            connection.execute(sa.delete(_collections).where(_is(alias)))
            release_names(connection, alias)

    def find_session_collection_value(self, alias: str, key: str) -> int | str | None:
        with self._database.read() as connection:
            value: int | str | None = find_value(connection, _values, collection_key=alias, key=key)
            return value

    def set_session_collection_value(self, alias: str, key: str, value: int | str) -> None:
        with self._database.write() as connection:
            get_session_collection(connection, alias)
            if key.casefold() == _SHARE_KEY and isinstance(value, str):
                claim_share(connection, alias, value)
            put_value(connection, _values, value, collection_key=alias, key=key)
            refresh_feed(connection, alias)

    def find_pair(self, alias: str, key: str) -> str | None:
        with self._database.read() as connection:
            value: str | None = find_value(connection, _pairs, collection_key=alias, key=key)
            return value

    def compare_and_set_pair(
        self, alias: str, key: str, comparand: str | None, value: str
    ) -> str | None:
        with self._database.write() as connection:
            get_session_collection(connection, alias)
            initial: str | None = find_value(connection, _pairs, collection_key=alias, key=key)
            if initial is None or initial == comparand:
                put_value(connection, _pairs, value, collection_key=alias, key=key)
            return initial

    def delete_pair(self, alias: str, key: str) -> None:
        with self._database.write() as connection:
            if not drop_value(connection, _pairs, collection_key=alias, key=key):
                raise errors.NotFound(f"Key: {key!r} has no value")


def find_session_collection(connection: sa.Connection, alias: str) -> SessionCollection | None:
    return rows.find_record(connection, SessionCollection, _collections, _is(alias))


def get_session_collection(connection: sa.Connection, alias: str) -> SessionCollection:
    """NotFound."""
    found = find_session_collection(connection, alias)
    if found is None:
        raise errors.NotFound(f"there is no session collection {alias!r}")
    return found


def _check_empty(connection: sa.Connection, alias: str) -> None:
    """Whoever deletes takes the servers out first, and so says what becomes of their users."""
    member = sa.select(_hosts.c.name).where(_hosts.c.collection_key == alias.casefold())
    name = connection.execute(member).scalar()
    if name is not None:
        raise errors.InvalidOperation(f"collection {alias!r} has servers, {name} for one")


def _is(alias: str) -> sa.ColumnElement[bool]:
    return _collections.c.alias_key == alias.casefold()


def _render(collection: SessionCollection) -> dict[str, object]:
    return rows.render_row(collection, alias_key=collection.alias.casefold())
