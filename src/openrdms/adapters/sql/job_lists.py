"""Lists of jobs, filtered and cut by the database. What jobs were asked for in XML is not read."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database
from openrdms.model.job import JobDesktop, VmStatus
from openrdms.model.job_list import JobCount, JobPlace, JobQuery, JobRow, PhaseCount, WaveCount

_jobs = schema.jobs.c
_planned = schema.job_desktops.c
_ROW = sa.select(*(_jobs[name] for name in JobRow._fields))


class JobListRecords:
    """The part of ports.Store about them."""

    _database: Database

    def list_job_rows(self, query: JobQuery, after: JobPlace | None, limit: int) -> list[JobRow]:
        conditions = _conditions(query)
        if after:
            same = sa.and_(_jobs.started == after.started, _jobs.guid < after.guid)
            conditions.append(sa.or_(_jobs.started < after.started, same))
        newest_first = _jobs.started.desc(), _jobs.guid.desc()
        wanted = _ROW.where(*conditions).order_by(*newest_first).limit(limit)
        with self._database.read() as connection:
            return [JobRow(*row) for row in connection.execute(wanted)]

    def count_jobs(self) -> list[JobCount]:
        kinds = _jobs.action, _jobs.state, _jobs.ended.is_not(None).label("has_ended")
        counted = sa.select(*kinds, sa.func.count()).group_by(*kinds)
        with self._database.read() as connection:
            return [JobCount(*row) for row in connection.execute(counted)]

    def count_phases(self, guids: Sequence[str]) -> list[PhaseCount]:
        kinds = _planned.job, _planned.status, _planned.done
        counted = sa.select(*kinds, sa.func.count()).group_by(*kinds)
        with self._database.read() as connection:
            found = connection.execute(counted.where(_planned.job.in_(guids)))
            return [PhaseCount(*row) for row in found]

    def count_waves(self, guid: str) -> list[WaveCount]:
        kinds = _planned.wave, _planned.status
        counted = sa.select(*kinds, sa.func.count()).where(_planned.job == guid)
        with self._database.read() as connection:
            found = connection.execute(counted.group_by(*kinds).order_by(_planned.wave))
            return [WaveCount(*row) for row in found]

    def page_job_desktops(
        self, guid: str, after: int, limit: int, status: VmStatus | None = None
    ) -> list[JobDesktop]:
        wanted = rows.query_records(JobDesktop, schema.job_desktops).where(
            _planned.job == guid, _planned.ordinal > after
        )
        if status:
            wanted = wanted.where(_planned.status == status)
        with self._database.read() as connection:
            found = connection.execute(wanted.order_by(_planned.ordinal).limit(limit))
            return [JobDesktop(*row) for row in found]


def _conditions(query: JobQuery) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if query.running is not None:
        conditions.append(_jobs.ended.is_(None) == query.running)
    if query.collection:
        conditions.append(_jobs.collection_key == query.collection.casefold())
    if query.action:
        conditions.append(_jobs.action == query.action)
    return conditions
