"""Scheduled patches. They come and go with their collection's row."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import collections, jobs, rows, schema
from openrdms.adapters.sql.database import Database, note_change
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.collection import IDLE_STATES, CollectionState
from openrdms.model.job import Job
from openrdms.model.patch import Patch, PatchState

patches = sa.Table(
    "patches",
    schema.metadata,
    sa.Column(
        "collection_key",
        sa.Text,
        sa.ForeignKey("collections.alias_key", ondelete="CASCADE"),
        primary_key=True,
    ),
    schema.text_column("collection"),
    schema.text_column("guid"),
    schema.time_column("start"),
    schema.time_column("force_log_off"),
    schema.text_column("document"),
    schema.number_column("requested"),
    schema.time_column("modified"),
    schema.member_column("state", PatchState),
    schema.text_column("error"),
    sa.CheckConstraint("start <= force_log_off", name="in_order"),
    sa.UniqueConstraint("guid"),
)

_collections = schema.collections


class PatchRecords:
    """The part of ports.Store about scheduled patches."""

    _database: Database

    def schedule_patch(self, patch: Patch) -> None:
        key = patch.collection.casefold()
        with self._database.write() as connection:
            _set_state(connection, patch, IDLE_STATES, CollectionState.UPDATE_SCHEDULED)
            rows.put_rows(connection, patches, [rows.render_row(patch, collection_key=key)])

    def find_patch(self, collection: str) -> Patch | None:
        with self._database.read() as connection:
            return _find(connection, patches.c.collection_key == collection.casefold())

    def find_patch_of_job(self, guid: str) -> Patch | None:
        with self._database.read() as connection:
            return _find(connection, patches.c.guid == guid)

    def list_waiting_patches(self) -> list[Patch]:
        with self._database.read() as connection:
            return rows.select_records(
                connection,
                Patch,
                patches,
                patches.c.state == PatchState.SUBMITTED,
                order=[patches.c.start, patches.c.guid],
            )

    def start_patch(self, job: Job) -> bool:
        with self._database.write() as connection:
            if jobs.find_job(connection, job.guid):
                return True
            started = {"state": PatchState.UPDATE_STARTED, "modified": job.started}
            if _leave_waiting(connection, patches.c.guid == job.guid, started) is None:
                return False
            jobs.claim_collection(connection, job, [CollectionState.UPDATE_SCHEDULED])
            jobs.insert_job(connection, job)
            return True

    def cancel_patch(self, collection: str, now: datetime) -> Patch:
        here = patches.c.collection_key == collection.casefold()
        cancelled = {"state": PatchState.UPDATE_CANCELLED, "modified": now}
        with self._database.write() as connection:
            patch = _leave_waiting(connection, here, cancelled)
            if patch:
                _end(connection, patch, CollectionState.UPDATE_CANCELLED)
            patch = _find(connection, here)
            if patch is None:
                raise errors.InvalidOperation(f"nothing is scheduled for collection {collection!r}")
            return patch

    def fail_patch(self, guid: str, error: str, now: datetime) -> bool:
        failed = {"state": PatchState.UPDATE_FAILED, "error": error, "modified": now}
        with self._database.write() as connection:
            patch = _leave_waiting(connection, patches.c.guid == guid, failed)
            if patch:
                _end(connection, patch, CollectionState.UPDATE_FAILED)
            return patch is not None


def _find(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Patch | None:
    return rows.find_record(connection, Patch, patches, condition)


def _leave_waiting(
    connection: sa.Connection, which: sa.ColumnElement[bool], values: dict[str, Any]
) -> Patch | None:
    """Move a patch that waits; returns it as it was. None when it waits no more."""
    waits = sa.and_(which, patches.c.state == PatchState.SUBMITTED)
    patch = _find(connection, waits)
    connection.execute(sa.update(patches).where(waits).values(values))
    return patch


def _end(connection: sa.Connection, patch: Patch, state: CollectionState) -> None:
    """The collection of a patch that becomes no job."""
    _set_state(connection, patch, [CollectionState.UPDATE_SCHEDULED], state)


def _set_state(
    connection: sa.Connection,
    patch: Patch,
    states: Collection[CollectionState],
    state: CollectionState,
) -> None:
    """Only a collection in one of ``states``. NotFound, InvalidOperation."""
    changed = connection.execute(
        sa.update(_collections)
        .where(
            _collections.c.alias_key == patch.collection.casefold(),
            _collections.c.state.in_(states),
        )
        .values(state=state)
    )
    if changed.rowcount == 1:
        note_change(connection, Kind.COLLECTION, patch.collection)
        note_change(connection, Kind.JOB, patch.guid)
        return
    collection = collections.find_collection(connection, patch.collection)
    if collection is None:
        raise collections.no_collection(patch.collection)
    raise errors.InvalidOperation(
        f"collection {collection.alias!r} takes no update in state {collection.state.name}"
    )
