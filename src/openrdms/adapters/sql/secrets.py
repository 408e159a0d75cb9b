"""Secrets that services share, sealed under a key that is not in the database."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database, note_change
from openrdms.model.change import Kind

_secrets = sa.Table(
    "secrets",
    schema.metadata,
    schema.text_column("name", key=True),
    schema.text_column("sealed"),
)


class SecretRecords:
    """The part of ports.Store about secrets."""

    _database: Database

    def add_secret(self, name: str, sealed: str) -> str:
        kept = sa.select(_secrets.c.sealed).where(_secrets.c.name == name)
        with self._database.write() as connection:
            found: str | None = connection.execute(kept).scalar()
            if found is None:
                connection.execute(sa.insert(_secrets), {"name": name, "sealed": sealed})
        return found or sealed

    def put_secret(self, name: str, sealed: str, account: str = "") -> None:
        with self._database.write() as connection:
            rows.put_rows(connection, _secrets, [{"name": name, "sealed": sealed}])
            _note(connection, account)

    def find_secrets(self, prefix: str) -> Mapping[str, str]:
        named = _secrets.c.name.startswith(prefix, autoescape=True)
        with self._database.read() as connection:
            found = connection.execute(sa.select(_secrets.c.name, _secrets.c.sealed).where(named))
            return {row.name: row.sealed for row in found}

    def delete_secret(self, name: str, account: str = "") -> None:
        with self._database.write() as connection:
            gone = connection.execute(sa.delete(_secrets).where(_secrets.c.name == name))
            if gone.rowcount:
                _note(connection, account)


def _note(connection: sa.Connection, account: str) -> None:
    if account:
        note_change(connection, Kind.ACCOUNT, account.casefold())
