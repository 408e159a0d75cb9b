"""Desktops on record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

import sqlalchemy as sa

from openrdms.adapters.sql import desktop_uses, pool_tables, rows, schema
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.nodes import check_hosts
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.desktop import Desktop, DesktopStatus, DesktopSummary
from openrdms.model.desktop_use import Use
from openrdms.model.job import VmStatus

_desktops = schema.desktops
_uses = pool_tables.desktop_uses.c

_QUICK_FIND = rows.query_records(Desktop, _desktops).where(
    _desktops.c.name_key == sa.bindparam("name")
)
_QUICK_PAGE = (
    sa.select(
        *(_desktops.c.name_key, _desktops.c.name, _desktops.c.host, _desktops.c.status),
        *(_desktops.c.collection, _desktops.c.user, _desktops.c.user_domain),
    )
    .where(_desktops.c.name_key > sa.bindparam("after"))
    .order_by(_desktops.c.name_key)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_QUICK_PAGE_OF_ONE = _QUICK_PAGE.where(_desktops.c.collection_key == sa.bindparam("collection"))
_QUICK_COUNT = sa.select(_desktops.c.host, sa.func.count()).group_by(_desktops.c.host)
_NEXT_FREE = (
    rows.query_records(Desktop, _desktops)
    .join_from(_desktops, pool_tables.desktop_uses)
    .where(
        _desktops.c.collection_key == sa.bindparam("collection"),
        _desktops.c.user_key.is_(None),
        _desktops.c.status == DesktopStatus.SUCCESS,
        _desktops.c.host.not_in(sa.bindparam("away", expanding=True)),
        _uses.use.in_([Use.READY, Use.UNREADY]),
        _uses.claim == "",
    )
    .order_by(_uses.use, _desktops.c.name_key)  # "ready" before "unready"
    .limit(1)
)
_QUICK_GIVEN_UP = (
    sa.select(schema.job_desktops.c.name_key)
    .join(schema.jobs)
    .where(schema.jobs.c.ended.is_(None), schema.job_desktops.c.status == VmStatus.FAILED)
)
_QUICK_IS_GIVEN_UP = _QUICK_GIVEN_UP.where(schema.job_desktops.c.name_key == sa.bindparam("name"))


class DesktopRecords:
    """The part of ports.Store about desktops."""

    _database: Database

    def list_desktops(
        self,
        collection: str | None = None,
        *,
        home: str | None = None,
        identity_set: bool | None = None,
    ) -> list[Desktop]:
        where = []
        if collection is not None:
            where.append(_desktops.c.collection_key == collection.casefold())
        if home is not None:
            where.append(_desktops.c.home_key == home.casefold())
        if identity_set is not None:
            where.append(_desktops.c.identity_set == identity_set)
        with self._database.read() as connection:
            return rows.select_records(
                connection, Desktop, _desktops, *where, order=[_desktops.c.name_key]
            )

    def page_desktops(
        self, after: str, limit: int, collection: str | None = None
    ) -> list[DesktopSummary]:
        quick = self._database.quick
        if collection is None:
            found = quick.rows(_QUICK_PAGE, after=after, limit=limit)
        else:
            key = collection.casefold()
            found = quick.rows(_QUICK_PAGE_OF_ONE, after=after, limit=limit, collection=key)
        return [DesktopSummary(*row) for row in found]

    def count_desktops(self) -> Mapping[str, int]:
        found = self._database.quick.rows(_QUICK_COUNT)
        return {str(host).casefold(): int(count) for host, count in found}

    def list_given_up(self, name: str | None = None) -> frozenset[str]:
        if name is None:
            found = self._database.quick.rows(_QUICK_GIVEN_UP)
        else:
            found = self._database.quick.rows(_QUICK_IS_GIVEN_UP, name=name.casefold())
        return frozenset(key for (key,) in found)

    def find_desktop(self, name: str) -> Desktop | None:
        found = self._database.quick.rows(_QUICK_FIND, name=name.casefold())
        return Desktop(*found[0]) if found else None

    def list_moving(self) -> list[Desktop]:
        with self._database.read() as connection:
            return rows.select_records(
                connection,
                Desktop,
                _desktops,
                _desktops.c.moving_to != "",
                order=[_desktops.c.name_key],
            )

    def find_assigned(self, collection: str, user: str, domain: str) -> Desktop | None:
        with self._database.read() as connection:
            return _find_assigned(connection, collection, user, domain)

    def put_desktops(self, desktops: Iterable[Desktop]) -> None:
        new = list(desktops)
        with self._database.write() as connection:
            check_hosts(connection, (desktop.host for desktop in new))
            put_desktops(connection, new)

    def change_desktop(
        self,
        name: str,
        change: Callable[[Desktop | None], Desktop | None],
        *,
        idle: bool = False,
    ) -> Desktop | None:
        with self._database.write() as connection:
            before = _find(connection, name)
            if before and idle:
                _check_idle(connection, before)
            after = change(before)
            if after is None:
                delete_desktops(connection, [name])
            elif after != before:
                _check_user(connection, after)
                put_desktops(connection, [after])
            return after

    def assign_free(
        self, collection: str, user: str, domain: str, away: Collection[str] = ()
    ) -> Desktop | None:
        def assign(connection: sa.Connection) -> Desktop | None:
            found = _find_free(connection, collection, user, domain, away)
            if found is None or found.user is not None:
                return found
            desktop = replace(found, user=user, user_domain=domain)
            put_desktops(connection, [desktop])
            return desktop

        return self._database.grouped(assign, urgent=True)

    def find_free(
        self, collection: str, user: str, domain: str, away: Collection[str] = ()
    ) -> Desktop | None:
        with self._database.read() as connection:
            return _find_free(connection, collection, user, domain, away)

    def was_member(self, alias: str, name: str) -> bool:
        history = schema.memberships.c
        query = sa.select(history.name_key).where(
            history.collection_key == alias.casefold(), history.name_key == name.casefold()
        )
        with self._database.read() as connection:
            return connection.execute(query).first() is not None


def put_desktops(connection: sa.Connection, desktops: Iterable[Desktop]) -> None:
    new = [_render(desktop) for desktop in desktops]
    if not new:
        return
    rows.put_rows(connection, _desktops, new)
    note_change(connection, Kind.DESKTOP, *(str(row["name"]) for row in new))
    desktop_uses.enter_desktops(connection, new)
    keys = [column.name for column in schema.memberships.columns]
    joined = [{key: row[key] for key in keys} for row in new if row["collection"]]
    rows.put_rows(connection, schema.memberships, joined)


def merge_desktops(connection: sa.Connection, desktops: Iterable[Desktop]) -> None:
    """As ports.Store.put_job_desktops has it."""
    new = list(desktops)
    if not new:
        return
    keys = [desktop.name.casefold() for desktop in new]
    found = rows.select_records(connection, Desktop, _desktops, _desktops.c.name_key.in_(keys))
    old = {desktop.name.casefold(): desktop for desktop in found}
    put_desktops(
        connection, [_merge(old.get(key), one) for key, one in zip(keys, new, strict=True)]
    )


def _merge(old: Desktop | None, new: Desktop) -> Desktop:
    if old is None or old.uuid != new.uuid:
        return new
    return replace(
        old,
        image=new.image,
        generation=new.generation,
        identity_set=new.identity_set,
        status=new.status,
    )


def delete_desktops(connection: sa.Connection, names: Iterable[str]) -> None:
    gone = list(names)
    keys = [{"gone": name.casefold()} for name in gone]
    note_change(connection, Kind.DESKTOP, *gone)
    if keys:
        connection.execute(
            sa.delete(_desktops).where(_desktops.c.name_key == sa.bindparam("gone")), keys
        )


def _find(connection: sa.Connection, name: str) -> Desktop | None:
    return rows.find_record(connection, Desktop, _desktops, _desktops.c.name_key == name.casefold())


def _check_idle(connection: sa.Connection, desktop: Desktop) -> None:
    planned = schema.job_desktops.c
    working = (
        sa.select(planned.job)
        .join(schema.jobs)
        .where(
            planned.name_key == desktop.name.casefold(),
            planned.uuid == desktop.uuid,
            schema.jobs.c.ended.is_(None),
        )
    )
    guid = connection.execute(working).scalar()
    if guid:
        raise errors.InvalidOperation(f"{desktop.name} is in work by job {guid}")


def _render(desktop: Desktop) -> dict[str, object]:
    return rows.render_row(
        desktop,
        name_key=desktop.name.casefold(),
        collection_key=desktop.collection.casefold(),
        home_key=desktop.home.casefold(),
        user_key=_user_key(desktop.user, desktop.user_domain),
    )


def _user_key(user: str | None, domain: str | None) -> str | None:
    """A user as one text; neither part can hold a backslash."""
    return None if user is None else f"{domain or ''}\\{user}".casefold()


def _find_assigned(
    connection: sa.Connection, collection: str, user: str, domain: str | None
) -> Desktop | None:
    return rows.find_record(
        connection,
        Desktop,
        _desktops,
        _desktops.c.collection_key == collection.casefold(),
        _desktops.c.user_key == _user_key(user, domain),
    )


def _find_assigned_anywhere(
    connection: sa.Connection, collection: str, user: str
) -> Desktop | None:
    """Whatever domain he was assigned it under: an account that connects has none."""
    found = rows.select_records(
        connection,
        Desktop,
        _desktops,
        _desktops.c.collection_key == collection.casefold(),
        _desktops.c.user_key.endswith(f"\\{user.casefold()}", autoescape=True),
        order=[_desktops.c.name_key],
    )
    return found[0] if found else None


def _find_free(
    connection: sa.Connection, collection: str, user: str, domain: str, away: Collection[str]
) -> Desktop | None:
    """The one that is his already, else one that is nobody's."""
    owned = _find_assigned(connection, collection, user, domain)
    owned = owned or _find_assigned_anywhere(connection, collection, user)
    if owned:
        return owned
    wanted = {"collection": collection.casefold(), "away": list(away)}
    row = connection.execute(_NEXT_FREE, wanted).first()
    return Desktop(*row) if row else None


def _check_user(connection: sa.Connection, desktop: Desktop) -> None:
    """The unique index would refuse it too, in words no user understands."""
    if desktop.user is None:
        return
    other = _find_assigned(connection, desktop.collection, desktop.user, desktop.user_domain)
    if other and other.name.casefold() != desktop.name.casefold():
        raise errors.AlreadyExists(
            f"{desktop.user_domain}\\{desktop.user} has desktop {other.name} in this collection"
        )
