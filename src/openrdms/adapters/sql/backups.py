"""Copies of SQLite databases that are in use, and what a copy must forget when it comes back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from openrdms.adapters.sql.migrating import known_revisions
from openrdms.model import errors

_HANDED_OUT = ("web_sessions", "display_tickets", "rdp_tokens")


def copy_database(source: Path, target: Path) -> None:
    """One state of it, while others write (sqlite.org/backup.html). OperationFailed."""
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as theirs,
            closing(sqlite3.connect(target)) as ours,
        ):
            theirs.backup(ours)  # all pages at once: a writer in between would begin it anew
    except sqlite3.Error as error:
        raise errors.OperationFailed(f"{source}: {error}") from error


def find_schema(records: Path) -> str:
    """The revision of its tables. OperationFailed when it is no database of ours."""
    try:
        with closing(sqlite3.connect(f"{records.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise errors.OperationFailed(f"{records.name}: {error}") from error
    return str(found[0])


def is_known_schema(revision: str) -> bool:
    """False for tables that a newer version has made."""
    return revision in known_revisions()


def forget_handed_out(records: Path) -> None:
    """End all sessions of browsers, tickets and RDP files: they may have been ended since."""
    with closing(sqlite3.connect(records)) as connection, connection:
        for table in _HANDED_OUT:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608  names of ours
