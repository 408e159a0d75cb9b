"""All records of one database, into another that has none."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.database import Database
from openrdms.model import errors

_BATCH = 5000
"""Rows in memory."""

_NOT_COPIED = ("secrets", "schema_needs")
"""Secrets are sealed under a key that one service alone does not have: it has none to copy."""


def copy_records(source: str, target: str) -> dict[str, int]:
    """Copy every row, in one transaction; how many there were of each table.

    Both are URLs as for ``open_store``, and are brought to the newest schema. InvalidOperation when
    the target has records already; OperationFailed, RecordsUnavailable: nothing was copied.
    """
    theirs = Database(source)
    try:
        ours = Database(target)
        try:
            with theirs.read() as old, ours.write() as new:
                _check_empty(new)
                return {table.name: _copy(old, new, table) for table in _tables()}
        finally:
            ours.close()
    finally:
        theirs.close()


def _tables() -> list[sa.Table]:
    """Whatever a row refers to comes before it."""
    return [table for table in schema.metadata.sorted_tables if table.name not in _NOT_COPIED]


def _check_empty(new: sa.Connection) -> None:
    for table in _tables():
        if new.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise errors.InvalidOperation(f"the database has records already ({table.name})")


def _copy(old: sa.Connection, new: sa.Connection, table: sa.Table) -> int:
    found = old.execution_options(yield_per=_BATCH).execute(sa.select(table))
    for rows in found.mappings().partitions(_BATCH):
        new.execute(sa.insert(table), [dict(row) for row in rows])
    counts = [
        connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for connection in (old, new)
    ]
    if counts[0] != counts[1]:
        raise errors.OperationFailed(f"{table.name}: {counts[1]} rows of {counts[0]} were copied")
    return int(counts[1])
