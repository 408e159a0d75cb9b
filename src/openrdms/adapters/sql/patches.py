"""Scheduled patches."""

from __future__ import annotations

from openrdms.adapters.sql.database import Database


class PatchRecords:
    """The part of ports.Store about scheduled patches."""

    _database: Database
