"""Joined nodes."""

from __future__ import annotations

from openrdms.adapters.sql.database import Database


class NodeRecords:
    """The part of ports.Store about joined nodes."""

    _database: Database
