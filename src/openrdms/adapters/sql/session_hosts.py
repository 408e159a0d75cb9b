"""RDSH collections, their servers and desktop assignments."""

from __future__ import annotations

from openrdms.adapters.sql.database import Database


class SessionHostRecords:
    """The part of ports.Store about rDSH collections, their servers and desktop assignments."""

    _database: Database
