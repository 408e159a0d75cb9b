"""Calls of an audit log that is older than the index of what they name."""

from __future__ import annotations

import json
from pathlib import Path

import alembic.command
import alembic.config
import sqlalchemy as sa

from openrdms.adapters import sql
from openrdms.model.audit import AuditQuery

_CALLS = 2500
"""More than are read at a time."""


def _open_before(file: Path) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", "openrdms.adapters.sql:migrations")
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0010")
        connection.exec_driver_sql(
            "INSERT INTO audit_log (sequence, time, who, who_key, address, what, [on], parameters,"
            " result, reason, of, hash)"
            " VALUES (?, '2026-03-01 12:00:00', '', '', '', 'x/y/z', ?, ?, 'denied', '', ?, '')",
            [
                (
                    number,
                    json.dumps({"Name": f"VD-{number}"}),
                    json.dumps({"names": ["a", "…"]}),
                    None,
                )
                for number in range(1, _CALLS)
            ]
            + [(_CALLS, json.dumps({"Name": "VD-1"}), "{}", 1)],
        )
    engine.dispose()


def test_calls_that_were_there_are_found_too(tmp_path: Path) -> None:
    _open_before(tmp_path / "records.sqlite")
    store = sql.open_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
    for number in (1, 1000, 1001, _CALLS - 1):
        (call,) = store.list_audited_calls(AuditQuery(about=f"vd-{number}"))
        assert call.asked.sequence == number
    assert len(store.list_audited_calls(AuditQuery(about="a", limit=_CALLS))) == _CALLS - 1
    assert store.list_audited_calls(AuditQuery(about=f"vd-{_CALLS}")) == []
    assert store.list_audited_calls(AuditQuery(about="…")) == []  # told to nobody
    store.close()
