"""The tables are brought to what this program knows, or left as a newer one has made them.

A migration adds: tables, columns with a default, indexes. What it adds to be used by all, and what
it removes, comes one version later, and then says in ``schema_needs`` the oldest revision whose
program can still work with the tables.
"""

from __future__ import annotations

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from openrdms.adapters.sql import schema
from openrdms.model import errors

_needs = sa.Table("schema_needs", schema.metadata, schema.text_column("oldest", key=True))


def migrate(connection: sa.Connection) -> None:
    """In the transaction of ``connection``, which is alone in writing.

    OperationFailed for tables that only newer programs can use.
    """
    config = alembic.config.Config()
    config.set_main_option("script_location", "openrdms.adapters.sql:migrations")
    scripts = ScriptDirectory.from_config(config)
    known = [one.revision for one in scripts.walk_revisions()]
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None or current in known:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
        return
    oldest = connection.execute(sa.select(_needs.c.oldest)).scalar_one()
    if oldest > max(known):
        raise errors.OperationFailed(
            f"records: a newer version has made these tables ({current}); "
            f"it takes one that knows {oldest} to use them, this one knows {max(known)}"
        )
