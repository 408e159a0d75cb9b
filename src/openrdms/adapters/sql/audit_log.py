"""The audit log. Rows are only ever added."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.audit_names import audit_names, note_names
from openrdms.adapters.sql.database import Database
from openrdms.model.audit import ASKED, AuditedCall, AuditHead, AuditQuery, AuditRecord

_audit = sa.Table(
    "audit_log",
    schema.metadata,
    schema.number_column("sequence", key=True),
    schema.time_column("time"),
    schema.text_column("who"),
    schema.text_column("who_key"),
    schema.text_column("address"),
    schema.text_column("what"),
    sa.Column("on", sa.JSON, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    schema.text_column("result"),
    schema.text_column("reason"),
    schema.number_column("of", null=True),
    schema.text_column("hash"),
    schema.service_column(),
    sa.Index("audit_log_of", "of", "sequence"),
)


class AuditRecords:
    """The part of ports.Store about the audit log."""

    _database: Database

    def append_audit(self, records: Sequence[AuditRecord]) -> None:
        with self._database.write() as connection:
            _insert(connection, records)

    def chain_audit(
        self, follow: Callable[[AuditHead], Sequence[AuditRecord]], service: str
    ) -> Sequence[AuditRecord]:
        newest = sa.select(_audit.c.sequence, _audit.c.hash).order_by(_audit.c.sequence.desc())
        with self._database.write() as connection:  # the one writer of all services
            last = connection.execute(newest.limit(1)).first()
            records = follow(AuditHead(*last) if last else AuditHead())
            _insert(connection, records, service)
        return records

    def list_audit(self, after: int = 0, limit: int = 1000) -> list[AuditRecord]:
        with self._database.read() as connection:
            order = [_audit.c.sequence]
            later = _audit.c.sequence > after
            first = sa.select(sa.func.min(_audit.c.sequence)).where(later).scalar_subquery()
            wanted = (later, _audit.c.sequence < first + limit)
            return rows.select_records(connection, AuditRecord, _audit, *wanted, order=order)

    def list_unanswered_audit(self, service: str = "") -> list[AuditRecord]:
        answered = sa.select(_audit.c.of).where(_audit.c.of.is_not(None))
        open_calls = (_audit.c.result == ASKED, _audit.c.sequence.not_in(answered))
        wanted = (*open_calls, _audit.c.service == service)
        with self._database.read() as connection:
            order = [_audit.c.sequence]
            return rows.select_records(connection, AuditRecord, _audit, *wanted, order=order)

    def last_audit(self) -> AuditRecord | None:
        newest = sa.select(sa.func.max(_audit.c.sequence)).scalar_subquery()
        with self._database.read() as connection:
            return rows.find_record(connection, AuditRecord, _audit, _audit.c.sequence == newest)

    def list_audited_calls(self, query: AuditQuery) -> list[AuditedCall]:
        newest = _select(query).where(*_conditions(query)).limit(query.limit)
        asked = _audit.c.sequence.in_(newest)
        answers = _audit.c.of.in_(newest)
        with self._database.read() as connection:
            order = [_audit.c.sequence]
            found = rows.select_records(connection, AuditRecord, _audit, asked, order=order)
            results = rows.select_records(connection, AuditRecord, _audit, answers)
        by_call = {record.of: record for record in results}
        return [AuditedCall(record, by_call.get(record.sequence)) for record in found]


def _insert(connection: sa.Connection, records: Sequence[AuditRecord], service: str = "") -> None:
    new = [
        rows.render_row(record, who_key=record.who.casefold(), service=service)
        for record in records
    ]
    connection.execute(sa.insert(_audit), new)
    note_names(connection, records)


def _select(query: AuditQuery) -> sa.Select[int]:
    """Sequences, the newest first; by the index of what is asked for, however rare that is."""
    if query.about is None:
        return sa.select(_audit.c.sequence).order_by(_audit.c.sequence.desc())
    return (
        sa.select(audit_names.c.sequence)
        .join(_audit, _audit.c.sequence == audit_names.c.sequence)
        .where(audit_names.c.name_key == query.about.casefold())
        .order_by(audit_names.c.sequence.desc())
    )


def _conditions(query: AuditQuery) -> list[sa.ColumnElement[bool]]:
    """What begins a call and is wanted."""
    wanted: list[sa.ColumnElement[bool]] = [_audit.c.of.is_(None)]
    if query.since:
        wanted.append(_audit.c.time >= query.since)
    if query.before is not None:
        wanted.append(_audit.c.sequence < query.before)
    if query.who is not None:
        wanted.append(_audit.c.who_key == query.who.casefold())
    if query.class_name is not None:
        name = query.class_name.lower()
        wanted.append(sa.func.lower(_audit.c.what).contains(f"/{name}/", autoescape=True))
    return wanted
