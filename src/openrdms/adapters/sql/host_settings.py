"""What administrators have set for hosts."""

from __future__ import annotations

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.pool_tables import host_settings
from openrdms.model.change import Kind
from openrdms.model.host import HostSettings


class HostSettingRecords:
    """The part of ports.Store about settings of hosts."""

    _database: Database

    def find_host_settings(self, host: str) -> HostSettings:
        here = host_settings.c.host_key == host.casefold()
        with self._database.read() as connection:
            found = rows.find_record(connection, HostSettings, host_settings, here)
        return found or HostSettings()

    def put_host_settings(self, host: str, settings: HostSettings) -> None:
        row = rows.render_row(settings, host_key=host.casefold())
        with self._database.write() as connection:
            rows.put_rows(connection, host_settings, [row])
            note_change(connection, Kind.HOST, host)
