"""Settings of the deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.values import drop_value, find_value, put_value, value_column
from openrdms.model import errors
from openrdms.model.setting import SettingValue

_settings = sa.Table(
    "settings",
    schema.metadata,
    schema.text_column("key", key=True),
    value_column(),
)


class SettingRecords:
    """The part of ports.Store about settings of the deployment."""

    _database: Database

    def find_setting(self, key: str) -> SettingValue | None:
        with self._database.read() as connection:
            value: SettingValue | None = find_value(connection, _settings, key=key)
            return value

    def change_setting(
        self,
        key: str,
        value: SettingValue | None,
        check: Callable[[Mapping[str, SettingValue]], None] = lambda _: None,
    ) -> None:
        with self._database.write() as connection:
            if value is not None:
                put_value(connection, _settings, value, key=key)
            elif not drop_value(connection, _settings, key=key):
                raise errors.NotFound(f"Key: {key!r} is not set")
            everything = connection.execute(sa.select(_settings.c.key, _settings.c.value))
            check({row.key: row.value for row in everything})
