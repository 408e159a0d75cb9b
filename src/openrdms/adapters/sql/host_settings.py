"""What administrators have set for hosts."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.pool_tables import host_settings
from openrdms.model.change import Kind
from openrdms.model.host import HostSettings

_QUICK_FIND = rows.query_records(HostSettings, host_settings).where(
    host_settings.c.host_key == sa.bindparam("host")
)


class HostSettingRecords:
    """The part of ports.Store about settings of hosts."""

    _database: Database

    def find_host_settings(self, host: str) -> HostSettings:
        found = self._database.quick.rows(_QUICK_FIND, host=host.casefold())
        return HostSettings(*found[0]) if found else HostSettings()

    def change_host_settings(
        self, host: str, change: Callable[[HostSettings], HostSettings]
    ) -> HostSettings:
        with self._database.write() as connection:
            settings = change(_find(connection, host))
            row = rows.render_row(settings, host_key=host.casefold())
            rows.put_rows(connection, host_settings, [row])
            note_change(connection, Kind.HOST, host)
        return settings


def _find(connection: sa.Connection, host: str) -> HostSettings:
    here = host_settings.c.host_key == host.casefold()
    return rows.find_record(connection, HostSettings, host_settings, here) or HostSettings()
