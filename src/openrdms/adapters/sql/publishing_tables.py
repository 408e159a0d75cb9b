"""The tables of published applications, file types and the feed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.collection_names import names
from openrdms.model.publishing import CommandLine, ResourceKind


def _of_collection() -> sa.Column[str]:
    """A part of the primary key of rows that go with a collection of either kind."""
    owner = sa.ForeignKey(names.c.alias_key, ondelete="CASCADE")
    return sa.Column("collection_key", sa.Text, owner, primary_key=True)


def _icon_columns() -> list[sa.Column[Any]]:
    return [
        schema.text_column("icon_path", null=True),
        schema.number_column("icon_index"),
        sa.Column("icon", sa.LargeBinary, nullable=True),
    ]


applications = sa.Table(
    "published_applications",
    schema.metadata,
    _of_collection(),
    schema.text_column("alias_key", key=True),
    schema.text_column("collection"),
    schema.text_column("alias"),
    schema.text_column("name"),
    schema.text_column("path"),
    schema.text_column("virtual_path"),
    schema.flag_column("show_in_portal"),
    schema.text_column("security_descriptor", null=True),
    schema.member_column("command_line_setting", CommandLine),
    schema.text_column("required_command_line", null=True),
    schema.text_column("folder", null=True),
    *_icon_columns(),
)

file_types = sa.Table(
    "file_types",
    schema.metadata,
    schema.text_column("collection_key", key=True),
    schema.text_column("application_key", key=True),
    schema.text_column("extension_key", key=True),
    schema.text_column("collection"),
    schema.text_column("application"),
    schema.text_column("extension"),
    schema.text_column("prog_id_hint", null=True),
    *_icon_columns(),
    schema.flag_column("is_primary_handler"),
    schema.flag_column("is_published"),
    sa.ForeignKeyConstraint(
        ["collection_key", "application_key"],
        ["published_applications.collection_key", "published_applications.alias_key"],
        ondelete="CASCADE",
    ),
)

feed = sa.Table(
    "feed",
    schema.metadata,
    _of_collection(),
    schema.text_column("application_key", key=True),
    schema.text_column("collection"),
    schema.text_column("application"),
    schema.member_column("kind", ResourceKind),
    schema.text_column("title"),
    schema.text_column("folder", null=True),
    schema.flag_column("show"),
    sa.Column("icon", sa.LargeBinary, nullable=True),
    sa.Column("descriptors", schema.Texts, nullable=False),
    sa.Column("file_types", schema.Texts, nullable=False),
    schema.text_column("command_line", null=True),
    schema.time_column("modified"),
    sa.CheckConstraint("(kind = 'desktop') = (application_key = '')", name="desktop"),
)
