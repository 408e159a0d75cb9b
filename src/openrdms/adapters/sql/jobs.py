"""Jobs and their desktops. Every transition of a job's state is one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import collections, rows, schema
from openrdms.adapters.sql import desktops as desktop_records
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.nodes import check_hosts
from openrdms.model import errors
from openrdms.model.collection import IDLE_STATES, CollectionState, ProvisioningSettings
from openrdms.model.desktop import Desktop
from openrdms.model.job import Job, JobAction, JobDesktop

_jobs = schema.jobs
_job_desktops = schema.job_desktops
_collections = schema.collections


class JobRecords:
    """The part of ports.Store about jobs."""

    _database: Database

    def accept_job(self, job: Job, settings: ProvisioningSettings | None = None) -> None:
        with self._database.write() as connection:
            if find_job(connection, job.guid):
                return
            if job.action is not JobAction.PREP:
                claim_collection(connection, job, IDLE_STATES)
            if settings:
                collections.set_provisioning(connection, job.collection, settings)
            insert_job(connection, job)

    def find_job(self, guid: str) -> Job | None:
        with self._database.read() as connection:
            return find_job(connection, guid)

    def list_jobs(self, *, running: bool, collection: str | None = None) -> list[Job]:
        where: list[sa.ColumnElement[bool]] = [(_jobs.c.ended.is_(None)) == running]
        if collection is not None:
            where.append(_jobs.c.collection_key == collection.casefold())
        with self._database.read() as connection:
            order = [_jobs.c.started, _jobs.c.guid]
            return rows.select_records(connection, Job, _jobs, *where, order=order)

    def request_cancel(self, guid: str, now: datetime) -> Job:
        with self._database.write() as connection:
            new = sa.and_(_jobs.c.cancel_requested.is_(None), _jobs.c.action != JobAction.DELETE)
            values = {"cancel_requested": now, "state": CollectionState.CANCEL_INPROGRESS}
            if _move(connection, guid, new, now, values):
                _show_state(connection, guid, CollectionState.CANCEL_INPROGRESS)
            job = _get(connection, guid)
            if job.cancel_requested is None:
                raise errors.InvalidOperation(
                    f"job {guid} has ended" if job.ended else f"job {guid} is a running Delete"
                )
            return job

    def end_job(
        self,
        guid: str,
        state: CollectionState,
        error: str,
        now: datetime,
        *,
        cancel_seen: bool = False,
        settings: ProvisioningSettings | None = None,
    ) -> bool:
        unseen = sa.true() if cancel_seen else _jobs.c.cancel_requested.is_(None)
        values = {"state": state, "error": error, "ended": now}
        with self._database.write() as connection:
            moved = _move(connection, guid, unseen, now, values)
            job = _get(connection, guid)
            if moved:
                _show_state(connection, guid, state)
            if moved and settings:
                collections.set_provisioning(connection, job.collection, settings)
            return job.ended is not None

    def add_job_desktops(
        self, desktops: Sequence[JobDesktop], next_index: int | None
    ) -> list[JobDesktop]:
        if not desktops:
            return []
        guid = desktops[0].job
        with self._database.write() as connection:
            planned = _list_desktops(connection, guid)
            if planned:
                return planned
            check_hosts(connection, (desktop.host for desktop in desktops))
            _check_names(connection, desktops)
            _put_desktops(connection, desktops)
            if next_index is not None:
                _advance_index(connection, _get(connection, guid).collection, next_index)
            return _list_desktops(connection, guid)

    def list_job_desktops(self, guid: str) -> list[JobDesktop]:
        with self._database.read() as connection:
            return _list_desktops(connection, guid)

    def put_job_desktops(
        self,
        desktops: Sequence[JobDesktop],
        now: datetime,
        *,
        records: Iterable[Desktop] = (),
        dropped: Iterable[str] = (),
    ) -> None:
        with self._database.write() as connection:
            _put_desktops(connection, desktops)
            connection.execute(
                sa.update(_jobs)
                .where(_jobs.c.guid.in_({one.job for one in desktops}))
                .values(modified=now)
            )
            desktop_records.merge_desktops(connection, records)
            desktop_records.delete_desktops(connection, dropped)


def find_job(connection: sa.Connection, guid: str) -> Job | None:
    return rows.find_record(connection, Job, _jobs, _jobs.c.guid == guid)


def _get(connection: sa.Connection, guid: str) -> Job:
    job = find_job(connection, guid)
    if job is None:
        raise errors.NotFound(f"there is no job {guid}")
    return job


def _list_desktops(connection: sa.Connection, guid: str) -> list[JobDesktop]:
    return rows.select_records(
        connection,
        JobDesktop,
        _job_desktops,
        _job_desktops.c.job == guid,
        order=[_job_desktops.c.ordinal],
    )


def _put_desktops(connection: sa.Connection, desktops: Sequence[JobDesktop]) -> None:
    new = [rows.render_row(one, name_key=one.name.casefold()) for one in desktops]
    rows.put_rows(connection, _job_desktops, new)


def _check_names(connection: sa.Connection, planned: Sequence[JobDesktop]) -> None:
    """No name may mean another VM on record, and no VM be in work by another running job."""
    uuids = {one.name.casefold(): one.uuid for one in planned}
    recorded = schema.desktops.c
    records = connection.execute(sa.select(recorded.name_key, recorded.uuid))
    taken = {row.name_key for row in records if uuids.get(row.name_key, row.uuid) != row.uuid}
    guid = planned[0].job
    others = connection.execute(
        sa.select(_job_desktops.c.name_key, _job_desktops.c.host)
        .join(_jobs, _jobs.c.guid == _job_desktops.c.job)
        .where(_jobs.c.ended.is_(None), _jobs.c.guid != guid)
    ).all()
    taken |= uuids.keys() & {row.name_key for row in others}
    running = rows.select_records(connection, Job, _jobs, _jobs.c.ended.is_(None))
    copied = {_copied_vm(job) for job in running if job.guid != guid}
    copying = {_copied_vm(job) for job in running if job.guid == guid}
    mine = {(one.host.casefold(), one.name.casefold()) for one in planned}
    theirs = {(row.host.casefold(), row.name_key) for row in others}
    taken |= {name for _, name in (mine & copied) | (copying & theirs)}
    if taken:
        names = ", ".join(sorted(taken))
        raise errors.AlreadyExists(f"names are taken or in work by another job: {names}")


def _copied_vm(job: Job) -> tuple[str, str]:
    """Host and name of the VM that a Prep job copies, which is not its row's."""
    return str(job.options.get("host", "")).casefold(), str(job.options.get("vm", "")).casefold()


def insert_job(connection: sa.Connection, job: Job) -> None:
    row = rows.render_row(job, collection_key=job.collection.casefold())
    connection.execute(sa.insert(_jobs).values(row))


def claim_collection(
    connection: sa.Connection, job: Job, states: Collection[CollectionState]
) -> None:
    """Make the job the latest of its collection, which must be in one of these states."""
    claimed = connection.execute(
        sa.update(_collections)
        .where(
            _collections.c.alias_key == job.collection.casefold(),
            _collections.c.state.in_(states),
        )
        .values(state=job.state, job_guid=job.guid)
    )
    if claimed.rowcount == 1:
        return
    collection = collections.find_collection(connection, job.collection)
    if collection is None:
        raise collections.no_collection(job.collection)
    raise errors.InvalidOperation(
        f"collection {collection.alias!r} takes no job in state {collection.state.name}"
        f" (job {collection.job_guid})"
    )


def _move(
    connection: sa.Connection,
    guid: str,
    condition: sa.ColumnElement[bool],
    now: datetime,
    values: dict[str, Any],
) -> bool:
    """Change a job that has not ended, when ``condition`` holds."""
    moved = connection.execute(
        sa.update(_jobs)
        .where(_jobs.c.guid == guid, _jobs.c.ended.is_(None), condition)
        .values(modified=now, **values)
    )
    return moved.rowcount == 1


def _show_state(connection: sa.Connection, guid: str, state: CollectionState) -> None:
    """A Prep job is no collection's latest job, so this leaves collections alone for it."""
    connection.execute(
        sa.update(_collections).where(_collections.c.job_guid == guid).values(state=state)
    )


def _advance_index(connection: sa.Connection, alias: str, next_index: int) -> None:
    settings = schema.provisioning_settings
    connection.execute(
        sa.update(settings)
        .where(
            settings.c.collection_key == alias.casefold(),
            settings.c.name_start_index < next_index,
        )
        .values(name_start_index=next_index)
    )
