"""The tables of session collections, their servers and desktop assignments."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.values import value_column
from openrdms.model.session_host import ServerState, SessionCollectionType


def _owned_by(parent: str, column: str) -> sa.Column[str]:
    """A part of the primary key of rows that go with what they belong to."""
    owner = sa.ForeignKey(parent, ondelete="CASCADE")
    return sa.Column(column, sa.Text, owner, primary_key=True)


collections = sa.Table(
    "session_collections",
    schema.metadata,
    schema.text_column("alias_key", key=True),
    schema.text_column("alias"),
    schema.text_column("name"),
    schema.member_column("type", SessionCollectionType),
    schema.text_column("description", null=True),
)

collection_values = sa.Table(
    "session_collection_values",
    schema.metadata,
    _owned_by("session_collections.alias_key", "collection_key"),
    schema.text_column("key", key=True),
    value_column(),
)

pairs = sa.Table(
    "session_collection_pairs",
    schema.metadata,
    _owned_by("session_collections.alias_key", "collection_key"),
    schema.text_column("key", key=True),
    schema.text_column("value"),
)
"""What KeyValueGet and its like work on, apart from the properties."""

hosts = sa.Table(
    "session_hosts",
    schema.metadata,
    schema.text_column("name_key", key=True),
    schema.text_column("name"),
    schema.text_column("broker"),
    schema.text_column("collection"),
    sa.Column(
        "collection_key", sa.Text, sa.ForeignKey("session_collections.alias_key"), nullable=True
    ),
    schema.member_column("state", ServerState),
    schema.number_column("place", null=True),
    sa.CheckConstraint("(collection = '') = (collection_key IS NULL)", name="member"),
    sa.CheckConstraint(f"place IS NULL OR state = {ServerState.STARTING.value}", name="waits"),
    sa.UniqueConstraint("place"),
    sa.Index("session_hosts_collection", "collection_key"),
)

host_values = sa.Table(
    "session_host_values",
    schema.metadata,
    _owned_by("session_hosts.name_key", "host_key"),
    schema.text_column("key", key=True),
    value_column(),
)

assignments = sa.Table(
    "desktop_assignments",
    schema.metadata,
    _owned_by("session_collections.alias_key", "collection_key"),
    schema.text_column("domain_key", key=True),
    schema.text_column("user_key", key=True),
    sa.Column(
        "desktop_key",
        sa.Text,
        sa.ForeignKey("session_hosts.name_key", ondelete="CASCADE"),
        nullable=False,
    ),
    schema.text_column("collection"),
    schema.text_column("desktop"),
    schema.text_column("user"),
    schema.text_column("user_domain"),
    sa.Index("desktop_assignments_desktop", "desktop_key", unique=True),
)
"""A user has one desktop in a collection (primary key), a desktop has one user."""
