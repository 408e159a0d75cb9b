"""Records as reconciling reads and mends them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import desktops as desktop_records
from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.desktop_uses import select_uses
from openrdms.adapters.sql.pool_tables import desktop_uses
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import Use
from openrdms.model.job import JobAction, VmStatus
from openrdms.model.reconcile import Known

_desktops = schema.desktops.c
_planned = schema.job_desktops.c
_jobs = schema.jobs.c

_BUSY = sa.select(_planned.name_key).join(schema.jobs).where(_jobs.ended.is_(None))
_UNMADE = (
    sa.select(_desktops.uuid)
    .join(schema.job_desktops, _planned.name_key == _desktops.name_key)
    .join(schema.jobs, _jobs.guid == _planned.job)
    .where(
        _planned.uuid == _desktops.uuid,
        _planned.status != VmStatus.COMPLETE,
        _jobs.ended.is_not(None),
        _jobs.action.in_([JobAction.CREATE, JobAction.UPDATE]),
        _desktops.status == DesktopStatus.FAILED,
    )
)
_TEMPORARY = (
    sa.select(_planned.uuid)
    .join(schema.jobs)
    .where(_jobs.ended.is_not(None), _jobs.action == JobAction.PREP)
)
_MOVING = sa.select(_desktops.name_key).where(_desktops.moving_to != "")
_ENDED = sa.select(_jobs.guid).where(_jobs.ended.is_not(None))


class ReconcileRecords:
    """The part of ports.Store about comparing hosts with records."""

    _database: Database

    def read_known(self, host: str) -> Known:
        with self._database.read() as connection:
            here = _is(_desktops.host, host)
            moving = _MOVING.where(sa.or_(here, _is(_desktops.moving_to, host)))
            planned_here = _is(_planned.host, host)
            desktops = rows.select_records(connection, Desktop, schema.desktops, here)
            by_name = {one.name.casefold(): one for one in desktops}
            uses = select_uses(connection, list(by_name))
            return Known(
                desktops=by_name,
                uses={one.name.casefold(): one for one in uses},
                busy=frozenset(connection.execute(_BUSY.where(planned_here)).scalars()),
                unmade=frozenset(connection.execute(_UNMADE.where(here)).scalars()),
                temporary=frozenset(connection.execute(_TEMPORARY.where(planned_here)).scalars()),
                jobs=frozenset(connection.execute(_ENDED).scalars()),
                moving=frozenset(connection.execute(moving).scalars()),
            )

    def list_desktop_hosts(self) -> list[str]:
        query = sa.select(_desktops.host).distinct().order_by(_desktops.host)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def list_unexplained(self, names: Iterable[str]) -> frozenset[str]:
        keys = {name.casefold() for name in names}
        with self._database.read() as connection:
            return frozenset(keys - _explained(connection, keys))

    def record_found(self, desktop: Desktop, reason: str, now: datetime) -> bool:
        key = desktop.name.casefold()

        def record(connection: sa.Connection) -> bool:
            if _explained(connection, {key}):
                return False
            desktop_records.put_desktops(connection, [_as_planned(connection, desktop)])
            connection.execute(
                sa.update(desktop_uses)
                .where(desktop_uses.c.name_key == key)
                .values(use=Use.QUARANTINED, since=now, reason=reason)
            )
            return True

        return self._database.grouped(record)

    def forget_desktops(self, host: str) -> list[str]:
        def forget(connection: sa.Connection) -> list[str]:
            query = sa.select(_desktops.name).where(_is(_desktops.host, host))
            names = list(connection.execute(query.order_by(_desktops.name_key)).scalars())
            desktop_records.delete_desktops(connection, names)
            return names

        return self._database.grouped(forget)


def _as_planned(connection: sa.Connection, desktop: Desktop) -> Desktop:
    """With what a host does not tell, when a job once planned this VM."""
    planned = sa.select(_planned.mac, _planned.disk_kind).where(
        _planned.name_key == desktop.name.casefold(), _planned.uuid == desktop.uuid
    )
    row = connection.execute(planned.limit(1)).first()
    return replace(desktop, mac=row.mac, disk_kind=row.disk_kind) if row else desktop


def _is(column: sa.ColumnElement[str], host: str) -> sa.ColumnElement[bool]:
    return sa.func.lower(column) == host.lower()


def _explained(connection: sa.Connection, keys: set[str]) -> set[str]:
    recorded = sa.select(_desktops.name_key).where(_desktops.name_key.in_(keys))
    planned = _BUSY.where(_planned.name_key.in_(keys))
    return {*connection.execute(recorded).scalars(), *connection.execute(planned).scalars()}
