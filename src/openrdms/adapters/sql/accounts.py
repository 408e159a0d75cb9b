"""Accounts and groups."""

from __future__ import annotations

from openrdms.adapters.sql.database import Database


class AccountRecords:
    """The part of ports.Store about accounts and groups."""

    _database: Database
