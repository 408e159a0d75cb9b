"""Who waits in line, where several services must know: on PostgreSQL alone, by its clock."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.compiled import Row, execute
from openrdms.adapters.sql.database import Database, note_change
from openrdms.model.change import Kind
from openrdms.model.waiting_line import LAPSE_SECONDS, Standing

waiting = sa.Table(
    "waiting",
    schema.metadata,
    schema.text_column("collection_key", key=True),
    schema.text_column("holder_key", key=True),
    schema.text_column("holder"),
    schema.time_column("since"),
    schema.time_column("asked"),
)

_NOW: sa.ColumnElement[Any] = sa.literal_column("statement_timestamp()")
"""When the statement came: in a transaction that writes, after it has become the only one."""

_LAPSED: sa.ColumnElement[Any] = sa.literal_column(
    f"statement_timestamp() - interval '{LAPSE_SECONDS} s'"
)

_LONGEST_AWAY = 600.0
"""Seconds; who has waited for longer has given up."""

_mine, _ahead = waiting.alias("mine"), waiting.alias("ahead")

_COUNT = sa.select(sa.func.count()).where(
    waiting.c.collection_key == sa.bindparam("collection"), waiting.c.asked >= _LAPSED
)
_FIRST = (
    sa.select(waiting.c.holder)
    .where(waiting.c.collection_key == sa.bindparam("collection"), waiting.c.asked >= _LAPSED)
    .order_by(waiting.c.since, waiting.c.holder_key)
    .limit(1)
)
_STANDING: tuple[sa.ColumnElement[Any], ...] = (
    sa.func.count(),
    _mine.c.since == _mine.c.asked,
    sa.literal_column("extract(epoch FROM statement_timestamp() - mine.since)::float8"),
)
_FIND = (
    sa.select(*_STANDING)
    .join_from(_mine, _ahead, _mine.c.collection_key == _ahead.c.collection_key)
    .where(
        _mine.c.collection_key == sa.bindparam("collection"),
        _mine.c.holder_key == sa.bindparam("holder"),
        _mine.c.asked >= _LAPSED,
        _ahead.c.asked >= _LAPSED,
        sa.tuple_(_ahead.c.since, _ahead.c.holder_key)
        <= sa.tuple_(_mine.c.since, _mine.c.holder_key),
    )
    .group_by(_mine.c.since, _mine.c.asked)
)


def renew_places(connection: sa.Connection, away: float) -> None:
    """The database was away for so many seconds, in which nobody could ask for his place: whoever
    had one then has as long again. It goes before anybody asks, lest he find it lapsed.
    """
    gone = sa.func.make_interval(0, 0, 0, 0, 0, 0, min(away, _LONGEST_AWAY))
    held = waiting.c.asked >= _LAPSED - gone
    connection.execute(sa.update(waiting).where(held).values(asked=_NOW))


class WaitingRecords:
    """ports.WaitingStore."""

    _database: Database

    def ask_place(self, collection: str, holder: str) -> Standing:
        keys = {"collection": collection.casefold(), "holder": holder.casefold()}

        def ask(connection: sa.Connection) -> Standing:
            insert = rows.insert(connection.dialect.name, waiting)
            new = insert.values(
                collection_key=keys["collection"],
                holder_key=keys["holder"],
                holder=holder,
                since=_NOW,
                asked=_NOW,
            )
            again = {
                "asked": insert.excluded.asked,
                "since": sa.case(
                    (waiting.c.asked < _LAPSED, insert.excluded.since), else_=waiting.c.since
                ),
            }
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["collection_key", "holder_key"], set_=again
                )
            )
            standing = _read_standing(execute(connection, _FIND, **keys))
            if standing is None:
                raise AssertionError("who has just asked has a place")
            if standing.is_new:
                note_change(connection, Kind.LINE, collection)
            return standing

        return self._database.grouped(ask)

    def find_place(self, collection: str, holder: str) -> Standing | None:
        keys = {"collection": collection.casefold(), "holder": holder.casefold()}
        return _read_standing(self._database.quick.rows(_FIND, **keys))

    def keep_places(self, holder: str) -> None:
        his = (waiting.c.holder_key == holder.casefold(), waiting.c.asked >= _LAPSED)

        def keep(connection: sa.Connection) -> None:
            connection.execute(sa.update(waiting).where(*his).values(asked=_NOW))

        self._database.grouped(keep)

    def leave_place(self, collection: str, holder: str) -> None:
        line = waiting.c.collection_key == collection.casefold()
        his = waiting.c.holder_key == holder.casefold()

        def leave(connection: sa.Connection) -> None:
            gone = sa.delete(waiting).where(line, sa.or_(his, waiting.c.asked < _LAPSED))
            if connection.execute(gone).rowcount:
                note_change(connection, Kind.LINE, collection)

        self._database.grouped(leave)

    def count_places(self, collection: str) -> int:
        (found,) = self._database.quick.rows(_COUNT, collection=collection.casefold())
        return int(found[0])

    def find_first(self, collection: str) -> str | None:
        found = self._database.quick.rows(_FIRST, collection=collection.casefold())
        return str(found[0][0]) if found else None


def _read_standing(found: list[Row]) -> Standing | None:
    return Standing(*found[0]) if found else None
