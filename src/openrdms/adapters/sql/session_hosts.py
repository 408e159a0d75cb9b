"""Servers of session collections, their properties and their queue to be started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from openrdms.adapters.sql import rows, session_tables
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.desktop_assignments import AssignmentRecords
from openrdms.adapters.sql.session_collections import (
    SessionCollectionRecords,
    find_session_collection,
)
from openrdms.adapters.sql.values import find_value, put_value
from openrdms.model import errors
from openrdms.model.session_host import ServerState, SessionHost, StartQueue

_hosts = session_tables.hosts
_values = session_tables.host_values
_assignments = session_tables.assignments


class SessionHostRecords(SessionCollectionRecords, AssignmentRecords):
    """The part of ports.Store about session collections, their servers and desktop assignments."""

    _database: Database

    def list_session_hosts(self, collection: str | None = None) -> list[SessionHost]:
        member = _hosts.c.collection_key == ((collection or "").casefold() or None)
        where = [] if collection is None else [member]
        with self._database.read() as connection:
            order = [_hosts.c.name_key]
            return rows.select_records(connection, SessionHost, _hosts, *where, order=order)

    def find_session_host(self, name: str) -> SessionHost | None:
        with self._database.read() as connection:
            return rows.find_record(connection, SessionHost, _hosts, _is(name))

    def create_session_host(self, host: SessionHost) -> None:
        with self._database.write() as connection:
            if rows.find_record(connection, SessionHost, _hosts, _is(host.name)):
                raise errors.AlreadyExists(f"Name: server {host.name} exists")
            connection.execute(sa.insert(_hosts).values(_render(connection, host)))

    def change_session_host(self, name: str, change: Callable[[SessionHost], SessionHost]) -> None:
        with self._database.write() as connection:
            before = _get(connection, name)
            row = _render(connection, replace(change(before), state=before.state))
            if row["collection_key"] != (before.collection.casefold() or None):
                freed = _assignments.c.desktop_key == name.casefold()
                connection.execute(sa.delete(_assignments).where(freed))
            connection.execute(sa.update(_hosts).where(_is(name)).values(row))

    def delete_session_host(self, name: str) -> None:
        with self._database.write() as connection:
            _get(connection, name)
            connection.execute(sa.delete(_hosts).where(_is(name)))

    def find_session_host_value(self, name: str, key: str) -> int | str | None:
        with self._database.read() as connection:
            value: int | str | None = find_value(connection, _values, host_key=name, key=key)
            return value

    def set_session_host_value(self, name: str, key: str, value: int | str) -> None:
        with self._database.write() as connection:
            _get(connection, name)
            put_value(connection, _values, value, host_key=name, key=key)

    def test_and_set_state(self, name: str, comparand: int, state: ServerState) -> ServerState:
        with self._database.write() as connection:
            _get(connection, name)
            (before,) = rows.select_records(connection, StartQueue, _hosts, _is(name))
            last = connection.execute(sa.select(sa.func.max(_hosts.c.place))).scalar() or 0
            after = before.test_and_set(comparand, state, last)
            if after != before:
                row = rows.render_row(after)
                connection.execute(sa.update(_hosts).where(_is(name)).values(row))
            return before.state

    def take_pending_starts(self, limit: int) -> list[str]:
        waiting = sa.select(_hosts.c.name, _hosts.c.place).where(_hosts.c.place.is_not(None))
        with self._database.write() as connection:
            first = connection.execute(waiting.order_by(_hosts.c.place).limit(limit)).all()
            if first:
                taken = _hosts.c.place <= first[-1].place
                connection.execute(sa.update(_hosts).where(taken).values(place=None))
            return [row.name for row in first]


def _get(connection: sa.Connection, name: str) -> SessionHost:
    found = rows.find_record(connection, SessionHost, _hosts, _is(name))
    if found is None:
        raise errors.NotFound(f"there is no session host {name!r}")
    return found


def _is(name: str) -> sa.ColumnElement[bool]:
    return _hosts.c.name_key == name.casefold()


def _render(connection: sa.Connection, host: SessionHost) -> dict[str, object]:
    """With its collection's alias as that spells it. InvalidParameter when there is none."""
    alias = ""
    if host.collection:
        collection = find_session_collection(connection, host.collection)
        if collection is None:
            raise errors.InvalidParameter(
                "CollectionAlias", f"there is no session collection {host.collection!r}"
            )
        alias = collection.alias
    return rows.render_row(
        replace(host, collection=alias),
        name_key=host.name.casefold(),
        collection_key=alias.casefold() or None,
    )
