"""Settings of the deployment."""

from __future__ import annotations

from openrdms.adapters.sql.database import Database


class SettingRecords:
    """The part of ports.Store about settings of the deployment."""

    _database: Database
