"""Which calls of the audit log name what: found without reading all others."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.model.audit import AuditRecord, names_in

audit_names = sa.Table(
    "audit_names",
    schema.metadata,
    schema.text_column("name_key", key=True),
    schema.number_column("sequence", key=True),
)
"""No part of the chain: it can be made again of the records."""


def note_names(connection: sa.Connection, records: Iterable[AuditRecord]) -> None:
    """Of records that begin a call, as they are added."""
    new = [
        {"name_key": name, "sequence": record.sequence}
        for record in records
        if record.of is None
        for name in sorted(names_in(record))
    ]
    if new:
        connection.execute(sa.insert(audit_names), new)
