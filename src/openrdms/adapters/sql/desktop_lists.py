"""Lists of many desktops, filtered and cut by the database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.pool_tables import desktop_uses
from openrdms.model.desktop_list import DesktopQuery, DesktopRow, UseCount

_desktops = schema.desktops.c
_uses = desktop_uses.c
_BOTH = schema.desktops.join(desktop_uses)

_ROW = sa.select(
    *(_desktops.name, _desktops.host, _desktops.collection, _desktops.image, _desktops.status),
    *(_desktops.user, _desktops.user_domain),
    *(_uses.use, _uses.since, _uses.holder, _uses.seen, _uses.saved, _uses.claim),
    *(_uses.failures, _uses.reason),
    (_desktops.home == "").label("adopted"),
).select_from(_BOTH)
_QUICK_FIND = _ROW.where(_desktops.name_key == sa.bindparam("name"))
_TALLY = (
    sa.select(_desktops.collection, _desktops.host, _uses.use, sa.func.count())
    .select_from(_BOTH)
    .group_by(_desktops.collection, _desktops.host, _uses.use)
)


class DesktopListRecords:
    """The part of ports.Store about them."""

    _database: Database

    def list_rows(self, query: DesktopQuery, after: str, limit: int) -> list[DesktopRow]:
        wanted = _ROW.where(*_conditions(query), _desktops.name_key > after)
        with self._database.read() as connection:
            found = connection.execute(wanted.order_by(_desktops.name_key).limit(limit))
            return [DesktopRow._make(row) for row in found]

    def find_row(self, name: str) -> DesktopRow | None:
        found = self._database.quick.rows(_QUICK_FIND, name=name.casefold())
        return DesktopRow._make(found[0]) if found else None

    def count_rows(self, query: DesktopQuery) -> int:
        counted = sa.select(sa.func.count()).select_from(_BOTH).where(*_conditions(query))
        with self._database.read() as connection:
            return int(connection.execute(counted).scalar_one())

    def tally_uses(self) -> list[UseCount]:
        with self._database.read() as connection:
            return [UseCount(*row) for row in connection.execute(_TALLY)]


def _conditions(query: DesktopQuery) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if query.collection:
        conditions.append(_desktops.collection_key == query.collection.casefold())
    if query.host:
        conditions.append(sa.func.lower(_desktops.host) == query.host.lower())
    if query.use:
        conditions.append(_uses.use == query.use)
    if query.search:
        conditions.append(_matches(query.search.casefold()))
    return conditions


def _matches(text: str) -> sa.ColumnElement[bool]:
    columns: tuple[Any, ...] = (_desktops.name_key, _uses.holder_key, _desktops.user_key)
    return sa.or_(*(column.contains(text, autoescape=True) for column in columns))
