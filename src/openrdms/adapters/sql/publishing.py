"""Published applications, file types and the feed."""

from __future__ import annotations

from openrdms.adapters.sql.database import Database


class PublishingRecords:
    """The part of ports.Store about published applications, file types and the feed."""

    _database: Database
