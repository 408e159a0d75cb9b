"""Jobs and their desktops. Every transition of a job's state is one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import claimed_uses, collections, rows, schema
from openrdms.adapters.sql import desktops as desktop_records
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.desktop_uses import select_uses
from openrdms.adapters.sql.images import require_image
from openrdms.adapters.sql.nodes import check_hosts
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.collection import IDLE_STATES, CollectionState, ProvisioningSettings
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse
from openrdms.model.job import Job, JobAction, JobDesktop

_jobs = schema.jobs
_job_desktops = schema.job_desktops
_collections = schema.collections

_PART = 500
"""Rows of a plan that are written at a time, so that a cancel or a user waits for no more. The
first row is written last: where it is, the plan is whole.
"""

_KEYS = ("job", "ordinal")
_PROGRESS = ("status", "intended", "done", "error", "undone", "notes", "was_running", "reason")
"""Columns of a planned desktop that change while its job runs."""

_TOUCH = (
    sa.update(_jobs)
    .where(_jobs.c.guid == sa.bindparam("key"))
    .values(modified=sa.bindparam("now", type_=_jobs.c.modified.type))
)


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
        def request(connection: sa.Connection) -> Job:
            new = sa.and_(_jobs.c.cancel_requested.is_(None), _jobs.c.action != JobAction.DELETE)
            values = {"cancel_requested": now, "state": CollectionState.CANCEL_INPROGRESS}
            if _move(connection, guid, new, now, values):
                _show_state(connection, guid, CollectionState.CANCEL_INPROGRESS)
                note_change(connection, Kind.CANCEL, guid)
            job = _get(connection, guid)
            if job.cancel_requested is None:
                raise errors.InvalidOperation(
                    f"job {guid} has ended" if job.ended else f"job {guid} is a running Delete"
                )
            return job

        return self._database.grouped(request, urgent=True)

    def adopt_job(self, guid: str) -> None:
        if service := self._database.service:
            with self._database.write() as connection:
                running = sa.update(_jobs).where(_jobs.c.guid == guid, _jobs.c.ended.is_(None))
                connection.execute(running.values(service=service))

    def find_runner(self, guid: str) -> str:
        with self._database.read() as connection:
            return connection.scalar(sa.select(_jobs.c.service).where(_jobs.c.guid == guid)) or ""

    def _require_mine(self, connection: sa.Connection, *guids: str) -> None:
        """Fenced when another service has adopted one of them meanwhile."""
        if service := self._database.service:
            others = sa.select(_jobs.c.guid).where(
                _jobs.c.guid.in_(guids), _jobs.c.service != service
            )
            if other := connection.scalars(others).first():
                self._database.end_fenced(f"job {other} is another service's")

    def put_job_option(self, guid: str, name: str, value: int) -> None:
        with self._database.write() as connection:
            options = {**_get(connection, guid).options, name: value}
            which = _jobs.c.guid == guid
            connection.execute(sa.update(_jobs).where(which).values(options=options))

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
            self._require_mine(connection, guid)
            moved = _move(connection, guid, unseen, now, values)
            job = _get(connection, guid)
            if moved:
                _show_state(connection, guid, state)
                claimed_uses.release(connection, guid, now)
            if moved and settings:
                collections.set_provisioning(connection, job.collection, settings)
            return job.ended is not None

    def add_job_desktops(
        self, desktops: Sequence[JobDesktop], next_index: int | None
    ) -> list[JobDesktop]:
        if not desktops:
            return []
        guid = desktops[0].job
        if self._begin_plan(guid):
            return self.list_job_desktops(guid)
        try:
            for start in reversed(range(0, len(desktops), _PART)):
                part = desktops[start : start + _PART]
                self._add_part(part, next_index if start == 0 else None)
        except errors.RdmsError:
            self._begin_plan(guid)
            raise
        return list(desktops)

    def _add_part(self, part: Sequence[JobDesktop], next_index: int | None) -> None:
        with self._database.write() as connection:
            self._require_mine(connection, part[0].job)
            check_hosts(connection, {desktop.host for desktop in part})
            _check_names(connection, part)
            _put_desktops(connection, part)
            note_change(connection, Kind.JOB, part[0].job)
            if next_index is not None:
                _advance_index(connection, _get(connection, part[0].job).collection, next_index)

    def _begin_plan(self, guid: str) -> bool:
        """True when there is a whole plan; of one that was not finished nothing is left."""
        here = _job_desktops.c.job == guid
        with self._database.write() as connection:
            self._require_mine(connection, guid)
            first = sa.select(_job_desktops.c.ordinal).where(here, _job_desktops.c.ordinal == 0)
            if connection.execute(first).first():
                return True
            connection.execute(sa.delete(_job_desktops).where(here))
            return False

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
        marks: Mapping[str, str] | None = None,
    ) -> None:
        guids = {one.job for one in desktops}
        kept, gone = list(records), list(dropped)

        def put(connection: sa.Connection) -> None:
            self._require_mine(connection, *guids)
            progress = [_render_progress(one) for one in desktops]
            rows.update_rows(connection, _job_desktops, _KEYS, progress)
            connection.execute(_TOUCH, [{"key": guid, "now": now} for guid in guids])
            note_change(connection, Kind.JOB, *guids)
            note_change(connection, Kind.DESKTOP, *(marks or {}))
            desktop_records.merge_desktops(connection, kept)
            desktop_records.delete_desktops(connection, gone)
            for guid in guids:
                names = [record.name for record in kept]
                claimed_uses.claim(connection, guid, names, marks or {}, now)

        self._database.grouped(put)

    def release_uses(
        self, guid: str, now: datetime, names: Iterable[str] | None = None
    ) -> list[DesktopUse]:
        mine = None if names is None else list(names)

        def release(connection: sa.Connection) -> list[DesktopUse]:
            released = claimed_uses.release(connection, guid, now, mine)
            return select_uses(connection, [name.casefold() for name in released])

        return self._database.grouped(release)


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


def _render_progress(desktop: JobDesktop) -> dict[str, Any]:
    return {name: getattr(desktop, name) for name in (*_KEYS, *_PROGRESS)}


def _check_names(connection: sa.Connection, planned: Sequence[JobDesktop]) -> None:
    """No name may mean another VM on record, and no VM be in work by another running job."""
    uuids = {one.name.casefold(): one.uuid for one in planned}
    recorded = schema.desktops.c
    records = connection.execute(
        sa.select(recorded.name_key, recorded.uuid).where(recorded.name_key.in_(uuids))
    )
    taken = {row.name_key for row in records if uuids[row.name_key] != row.uuid}
    guid = planned[0].job
    others = connection.execute(
        sa.select(_job_desktops.c.name_key)
        .join(_jobs, _jobs.c.guid == _job_desktops.c.job)
        .where(_job_desktops.c.name_key.in_(uuids), _jobs.c.ended.is_(None), _jobs.c.guid != guid)
    )
    taken |= {row.name_key for row in others}
    taken |= _taken_by_copies(connection, guid, planned)
    if taken:
        names = ", ".join(sorted(taken))
        raise errors.AlreadyExists(f"names are taken or in work by another job: {names}")


def _taken_by_copies(
    connection: sa.Connection, guid: str, planned: Sequence[JobDesktop]
) -> set[str]:
    """VMs that a Prep job copies while another has them in work."""
    running = rows.select_records(connection, Job, _jobs, _jobs.c.ended.is_(None))
    copied = {_copied_vm(job) for job in running if job.guid != guid}
    mine = {(one.host.casefold(), one.name.casefold()) for one in planned}
    taken = {name for _, name in mine & copied}
    host, copying = next((_copied_vm(job) for job in running if job.guid == guid), ("", ""))
    if copying:
        theirs = connection.execute(
            sa.select(_job_desktops.c.host)
            .join(_jobs, _jobs.c.guid == _job_desktops.c.job)
            .where(
                _job_desktops.c.name_key == copying, _jobs.c.ended.is_(None), _jobs.c.guid != guid
            )
        )
        taken |= {copying for row in theirs if row.host.casefold() == host}
    return taken


def _copied_vm(job: Job) -> tuple[str, str]:
    """Host and name of the VM that a Prep job copies, which is not its row's."""
    return str(job.options.get("host", "")).casefold(), str(job.options.get("vm", "")).casefold()


def insert_job(connection: sa.Connection, job: Job) -> None:
    for option in ("image", "parent"):
        require_image(connection, str(job.options.get(option, "")))
    row = rows.render_row(job, collection_key=job.collection.casefold())
    connection.execute(sa.insert(_jobs).values(row))
    note_change(connection, Kind.JOB, job.guid)


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
        note_change(connection, Kind.COLLECTION, job.collection)
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
    shown = sa.update(_collections).where(_collections.c.job_guid == guid).values(state=state)
    aliases = connection.execute(shown.returning(_collections.c.alias)).scalars()
    note_change(connection, Kind.COLLECTION, *aliases)
    note_change(connection, Kind.JOB, guid)


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
