"""Session ids. Rows are never deleted, so an id is never given twice."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database
from openrdms.model.session import SessionKey

_sessions = schema.sessions

_QUICK_FIND = rows.query_records(SessionKey, _sessions).where(
    _sessions.c.host_key == sa.bindparam("host"),
    _sessions.c.session_id == sa.bindparam("session_id", type_=sa.Integer),
)


class SessionRecords:
    """The part of ports.Store about sessions."""

    _database: Database

    def session_ids(self, host: str, keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
        with self._database.read() as connection:
            ids = _find_ids(connection, host, keys)
        if len(ids) == len(set(keys)):
            return ids
        with self._database.write() as connection:
            ids = _find_ids(connection, host, keys)
            _add_ids(connection, host, [key for key in dict.fromkeys(keys) if key not in ids])
            return _find_ids(connection, host, keys)

    def find_session(self, host: str, session_id: int) -> SessionKey | None:
        found = self._database.quick.rows(_QUICK_FIND, host=host.casefold(), session_id=session_id)
        return SessionKey(*found[0]) if found else None


def _find_ids(
    connection: sa.Connection, host: str, keys: Sequence[SessionKey]
) -> dict[SessionKey, int]:
    """Ids given before. A VM keeps its uuid when it gets another name."""
    columns = _sessions.c
    found = connection.execute(
        sa.select(columns.vm_uuid, columns.guest_key, columns.session_id).where(
            columns.host_key == host.casefold(),
            columns.vm_uuid.in_({key.vm_uuid for key in keys}),
        )
    )
    ids = {(row.vm_uuid, row.guest_key): row.session_id for row in found}
    known = [key for key in keys if (key.vm_uuid, key.guest_key) in ids]
    return {key: ids[key.vm_uuid, key.guest_key] for key in known}


def _add_ids(connection: sa.Connection, host: str, keys: Sequence[SessionKey]) -> None:
    newest = sa.select(sa.func.max(_sessions.c.session_id)).where(
        _sessions.c.host_key == host.casefold()
    )
    first = (connection.execute(newest).scalar() or 0) + 1
    new = [
        rows.render_row(key, host_key=host.casefold(), session_id=number)
        for number, key in enumerate(keys, first)
    ]
    if new:
        connection.execute(sa.insert(_sessions), new)
