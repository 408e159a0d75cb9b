"""The audit log."""

from __future__ import annotations

from openrdms.adapters.sql.database import Database


class AuditRecords:
    """The part of ports.Store about the audit log."""

    _database: Database
