"""The tables are brought to what this program knows, or left as a newer one has made them.

A migration adds: tables, columns with a default, indexes. What it adds to be used by all, and what
it removes, comes one version later, and then says in ``schema_needs`` the oldest revision whose
program can still work with the tables.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.model import errors

_needs = sa.Table("schema_needs", schema.metadata, schema.text_column("oldest", key=True))
_version = sa.table("alembic_version", sa.column("version_num"))


def migrate(connection: sa.Connection) -> None:
    """In the transaction of ``connection``, which is alone in writing.

    OperationFailed for tables that only newer programs can use.
    """
    known = known_revisions()
    current = _find_revision(connection)
    if current == known[-1]:
        return
    if current is None or current in known:
        _upgrade(connection)
        return
    oldest = connection.execute(sa.select(_needs.c.oldest)).scalar_one()
    if oldest > known[-1]:
        raise errors.OperationFailed(
            f"records: a newer version has made these tables ({current}); "
            f"it takes one that knows {oldest} to use them, this one knows {known[-1]}"
        )


def known_revisions() -> list[str]:
    """Of this program, the newest last: each file is named by its own."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return sorted(file.name[:4] for file in versions.glob("[0-9]*.py"))


def _find_revision(connection: sa.Connection) -> str | None:
    """None where there are no tables yet."""
    if not sa.inspect(connection).has_table(_version.name):
        return None
    found: str | None = connection.execute(sa.select(_version.c.version_num)).scalar()
    return found


def _upgrade(connection: sa.Connection) -> None:
    import alembic.command  # most starts find nothing to do, and need not wait for all this
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", "openrdms.adapters.sql:migrations")
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
