"""Who may have which desktop."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.compiled import execute
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.pool_tables import desktop_uses
from openrdms.model.change import Kind
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use

SHOWN_SECONDS = 100.0
"""For how long a service that is cut off from the records may show, or open, the screen of who had
a desktop when it heard of them last. Longer than ``local_copy.GOOD_SECONDS``, after which it opens
none, and ``live_connections`` needs to close those that are open.
"""

_QUIET_SECONDS = 3.0
"""Age of the last beat of who may be cut off."""

_TOLD_SECONDS = 5.0
"""What ended so long before its last beat, by the same clock, a service knows of."""

_desktops = schema.desktops.c
_collections = schema.collections.c
_uses = desktop_uses.c
_STATE = (
    *("use", "since", "fresh", "holder", "asked", "seen", "turn", "stay", "mark", "claim"),
    *("saved", "failures", "reason"),
)
"""Columns that have the names of their fields; the rest of a use is its desktop's, or its
collection's.
"""

_RESETS = sa.and_(_collections.type == CollectionType.POOLED, _collections.rollback_enabled)
"""As ``Collection.resets`` has it."""

_QUERY = (
    sa.select(
        _desktops.name,
        _desktops.collection,
        _desktops.host,
        _desktops.uuid,
        *(_uses[name] for name in _STATE),
        (_desktops.home == "").label("adopted"),
        (~_desktops.identity_set).label("left_off"),
        sa.case((_desktops.home_key == _desktops.collection_key, _desktops.image), else_="").label(
            "image"
        ),
        (_desktops.moving_to != "").label("moving"),
        sa.func.coalesce(_desktops.user_key, "").label("assigned"),
        sa.func.coalesce(_RESETS, sa.false()).label("resets"),
    )
    .join_from(desktop_uses, schema.desktops)
    .outerjoin(schema.collections, _collections.alias_key == _uses.collection_key)
)


class DesktopUseRecords:
    """The part of ports.Store about uses of desktops."""

    _database: Database

    def list_uses(
        self,
        collection: str | None = None,
        *,
        use: Use | None = None,
        names: Iterable[str] | None = None,
    ) -> list[DesktopUse]:
        where = []
        if collection is not None:
            where.append(_uses.collection_key == collection.casefold())
        if use is not None:
            where.append(_uses.use == use)
        with self._database.read() as connection:
            if names is not None:
                return select_uses(connection, [name.casefold() for name in names], *where)
            return _select(connection, *where)

    def list_left_uses(self) -> list[DesktopUse]:
        running = sa.select(schema.jobs.c.guid).where(schema.jobs.c.ended.is_(None))
        prepared = _uses.use == Use.PREPARING
        claimed = sa.or_(_uses.use == Use.WORK, _uses.claim != "")
        with self._database.read() as connection:
            return _select(
                connection,
                sa.or_(
                    sa.and_(prepared, self._database.is_left(_uses.service)),
                    sa.and_(~prepared, claimed, _uses.claim.not_in(running)),
                ),
            )

    def count_uses(self, collection: str) -> Mapping[Use, int]:
        found = self._database.quick.rows(_QUICK_COUNT, collection=collection.casefold())
        return {row[0]: row[1] for row in found}

    def count_uses_by_host(self, collection: str) -> Mapping[str, Mapping[Use, int]]:
        hosts: dict[str, dict[Use, int]] = {}
        for host, use, count in self._database.quick.rows(
            _QUICK_COUNT_BY_HOST, collection=collection.casefold()
        ):
            hosts.setdefault(host, {})[use] = count
        return hosts

    def find_use(self, name: str) -> DesktopUse | None:
        found = self._database.quick.rows(_QUICK_FIND, key=name.casefold())
        return DesktopUse(*found[0]) if found else None

    def find_held(self, collection: str, holder: str) -> DesktopUse | None:
        found = self._database.quick.rows(
            _QUICK_HELD, collection=collection.casefold(), holder=holder.casefold()
        )
        return DesktopUse(*found[0]) if found else None

    def take_ready(
        self, collection: str, holder: str, now: datetime, away: Collection[str] = ()
    ) -> DesktopUse | None:
        def take(connection: sa.Connection) -> DesktopUse | None:
            held = _find_held(connection, collection, holder)
            if held:
                return held
            since = self._find_silence(connection)
            ready = _find_ready(connection, collection, away, since)
            if ready is None:
                return None
            taken = dataclasses.replace(
                ready,
                use=Use.TAKEN,
                since=now,
                holder=holder,
                asked=True,
                seen=False,
                turn=ready.turn + 1,
                stay=ready.stay + 1,
            )
            _replace(connection, taken, self._database.service)
            return taken

        return self._database.grouped(take, urgent=True)

    def _find_silence(self, connection: sa.Connection) -> datetime | None:
        """Since when a service has not been heard that may live, and show screens."""
        if not self._database.service:
            return None
        beat = connection.execute(_LAST_BEAT, {"me": self._database.service}).scalar()
        return beat and beat - timedelta(seconds=_TOLD_SECONDS)

    def change_uses(
        self, names: Iterable[str], change: Callable[[DesktopUse], DesktopUse | None]
    ) -> list[DesktopUse]:
        keys = [name.casefold() for name in names]

        def replace(connection: sa.Connection) -> list[DesktopUse]:
            before = select_uses(connection, keys)
            changed = [(old, change(old)) for old in before]
            after = [_count_stay(old, new) for old, new in changed if new is not None]
            for use in after:
                _replace(connection, use, self._database.service)
            return after

        return self._database.grouped(replace)


_QUICK_FIND = _QUERY.where(_uses.name_key == sa.bindparam("key"))
_QUICK_COUNT = (
    sa.select(_uses.use, sa.func.count().label("number"))
    .where(_uses.collection_key == sa.bindparam("collection"))
    .group_by(_uses.use)
)
_QUICK_COUNT_BY_HOST = (
    sa.select(_desktops.host, _uses.use, sa.func.count().label("number"))
    .join_from(desktop_uses, schema.desktops)
    .where(_uses.collection_key == sa.bindparam("collection"))
    .group_by(_desktops.host, _uses.use)
)
_QUICK_HELD = (
    _QUERY.where(
        _uses.collection_key == sa.bindparam("collection"),
        _uses.holder_key == sa.bindparam("holder"),
    )
    .order_by(_uses.asked.desc(), _uses.name_key)
    .limit(1)
)

_NEXT_READY = (
    _QUERY.where(
        _uses.collection_key == sa.bindparam("collection"),
        _uses.use == Use.READY,
        _uses.claim == "",
        _desktops.moving_to == "",
    )
    .order_by(_uses.saved, _uses.fresh)
    .limit(1)
)

_now = schema.DatabaseClock()
_LAST_BEAT = sa.select(sa.func.min(schema.members.c.beat)).where(
    sa.not_(schema.members.c.died),
    schema.members.c.id != sa.bindparam("me"),
    schema.members.c.beat > _now - sa.text(f"interval '{SHOWN_SECONDS} s'"),
    schema.members.c.beat < _now - sa.text(f"interval '{_QUIET_SECONDS} s'"),
)

_REPLACE = (
    sa.update(desktop_uses)
    .where(_uses.name_key == sa.bindparam("key"))
    .values(
        {
            **{name: sa.bindparam(f"new_{name}") for name in (*_STATE, "holder_key", "service")},
            "stay_ended": sa.case(
                (_uses.stay != sa.bindparam("new_stay"), schema.DatabaseClock()),
                else_=_uses.stay_ended,
            ),
        }
    )
)


def enter_desktops(connection: sa.Connection, desktops: Sequence[Mapping[str, Any]]) -> None:
    """Give rows of desktops their uses; one that comes from another collection starts anew."""
    now = datetime.now(UTC)
    new = {
        "use": Use.UNREADY,
        "since": now,
        "fresh": now,
        "saved": False,
        "failures": 0,
        "holder": "",
        "holder_key": None,
        "asked": False,
        "seen": False,
        "turn": 0,
        "stay": 0,
        "mark": "",
        "claim": "",
        "reason": "",
    }
    entered = [
        {"name_key": row["name_key"], "collection_key": row["collection_key"], **new}
        for row in desktops
    ]
    rows.execute_all(connection, _enter(connection.dialect.name, tuple(new)), entered)


@functools.cache
def _enter(dialect: str, names: tuple[str, ...]) -> Any:
    """Made once: it takes longer to put together than to execute."""
    insert = rows.insert(dialect, desktop_uses)
    return insert.on_conflict_do_update(
        index_elements=["name_key"],
        set_={name: insert.excluded[name] for name in ("collection_key", *names)}
        | {"stay": _uses.stay + 1, "stay_ended": schema.DatabaseClock()},
        where=_uses.collection_key != insert.excluded.collection_key,
    )


def change_resets(connection: sa.Connection, alias: str, *, resets: bool) -> list[str]:
    """The collection resets its desktops from now on, or no more; returns their names.

    When it begins to, what somebody left on those that are READY is still there: none is READY.
    """
    mine = _uses.collection_key == alias.casefold()
    if resets:
        connection.execute(
            sa.update(desktop_uses)
            .where(mine, _uses.use == Use.READY)
            .values(use=Use.UNREADY, since=datetime.now(UTC), saved=False)
        )
    query = sa.select(_desktops.name).join_from(desktop_uses, schema.desktops).where(mine)
    names = [*connection.execute(query).scalars()]
    note_change(connection, Kind.DESKTOP, *names)
    return names


_PART = 1000
"""Names asked for in one statement: SQLite takes some 32,000 values."""


def select_uses(
    connection: sa.Connection, keys: Sequence[str], *where: sa.ColumnElement[bool]
) -> list[DesktopUse]:
    """Those of case-folded names, in their order; one that comes twice is there once."""
    if len(keys) == 1 and not where:
        return [DesktopUse(*row) for row in execute(connection, _QUICK_FIND, key=keys[0])]
    parts = [keys[at : at + _PART] for at in range(0, len(keys), _PART)]
    return [use for part in parts for use in _select(connection, _uses.name_key.in_(part), *where)]


def _select(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[DesktopUse]:
    found = connection.execute(_QUERY.where(*where).order_by(_uses.name_key))
    return [DesktopUse(*row) for row in found]


def _find_held(connection: sa.Connection, collection: str, holder: str) -> DesktopUse | None:
    found = execute(
        connection, _QUICK_HELD, collection=collection.casefold(), holder=holder.casefold()
    )
    return DesktopUse(*found[0]) if found else None


def _find_ready(
    connection: sa.Connection,
    collection: str,
    away: Collection[str],
    silence: datetime | None,
) -> DesktopUse | None:
    """Not one at a host that is ``away``, nor whose last user left after ``silence`` began."""
    if away or silence:
        query = _NEXT_READY.where(_desktops.host.not_in(away))
        if silence:
            # ``since`` is by a service's clock, but all there is of a service before 0017
            left = sa.func.greatest(_uses.since, _uses.stay_ended)
            query = query.where(sa.or_(left < silence, _uses.stay == 0))
        row = connection.execute(query, {"collection": collection.casefold()}).first()
        return DesktopUse(*row) if row else None
    found = execute(connection, _NEXT_READY, collection=collection.casefold())
    return DesktopUse(*found[0]) if found else None


def _count_stay(before: DesktopUse, after: DesktopUse) -> DesktopUse:
    """Whatever changed it: a stay ends when the holder is another one, or nobody."""
    stay = before.stay + (before.holder.casefold() != after.holder.casefold())
    return after if after.stay == stay else dataclasses.replace(after, stay=stay)


def _replace(connection: sa.Connection, use: DesktopUse, service: str) -> None:
    prepares = service if use.use is Use.PREPARING else ""
    execute(connection, _REPLACE, **_render(use), new_service=prepares)
    note_change(connection, Kind.DESKTOP, use.name)


def _render(use: DesktopUse) -> dict[str, Any]:
    values = {f"new_{name}": getattr(use, name) for name in _STATE}
    holder_key = use.holder.casefold() or None
    return {"key": use.name.casefold(), "new_holder_key": holder_key, **values}
