"""What the plans of running jobs have taken."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.database import Database
from openrdms.model.job import VmStatus
from openrdms.ports.provisioning_store import Reserved

_planned = schema.job_desktops.c
_GIVEN_UP = (VmStatus.FAILED, VmStatus.CANCELLED)

_QUICK_RESERVED = sa.select(
    _planned.host, _planned.name_key, _planned.image, _planned.was_running
).where(
    _planned.job == sa.bindparam("job"),
    *(_planned.status != status for status in _GIVEN_UP),
)
_QUICK_RECORDED = sa.select(schema.desktops.c.name_key, schema.desktops.c.mac)
_QUICK_PLANNED = (
    sa.select(_planned.name_key, _planned.mac)
    .join(schema.jobs)
    .where(schema.jobs.c.ended.is_(None), _planned.job != sa.bindparam("job"))
)


class ReservationRecords:
    """The part of ports.Store about reservations."""

    _database: Database

    def list_reserved(self, guid: str) -> list[Reserved]:
        return [Reserved(*row) for row in self._database.quick.rows(_QUICK_RESERVED, job=guid)]

    def list_names_in_use(self, without_job: str) -> list[tuple[str, str]]:
        quick = self._database.quick
        recorded = quick.rows(_QUICK_RECORDED)
        planned = quick.rows(_QUICK_PLANNED, job=without_job)
        return [(str(name), str(mac)) for name, mac in (*recorded, *planned)]
