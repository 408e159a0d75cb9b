"""Session hosts, their collections, assignments and deployment settings."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_collections()
    _create_collection_values("session_collection_values")
    _create_collection_values("session_collection_pairs")
    _create_hosts()
    _create_host_values()
    _create_assignments()
    _create_settings()


def _create_collections() -> None:
    op.create_table(
        "session_collections",
        sa.Column("alias_key", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column(
            "type", sa.Integer, sa.CheckConstraint("type IN (0, 4, 5)", name="type"), nullable=False
        ),
        sa.Column("description", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("alias_key", name=op.f("session_collections_key")),
    )


def _create_collection_values(table: str) -> None:
    op.create_table(
        table,
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("collection_key", "key", name=op.f(f"{table}_key")),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["session_collections.alias_key"],
            name=op.f(f"{table}_collection_key"),
            ondelete="CASCADE",
        ),
    )


def _create_hosts() -> None:
    states = sa.CheckConstraint("state IN (1, 2, 3, 4, 5, 7, 8, 9, 10)", name="state")
    op.create_table(
        "session_hosts",
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("broker", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("collection_key", sa.Text, nullable=True),
        sa.Column("state", sa.Integer, states, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("name_key", name=op.f("session_hosts_key")),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["session_collections.alias_key"],
            name=op.f("session_hosts_collection_key"),
        ),
        sa.CheckConstraint("(collection = '') = (collection_key IS NULL)", name="member"),
        sa.CheckConstraint("place IS NULL OR state = 9", name="waits"),
        sa.UniqueConstraint("place", name=op.f("session_hosts_place")),
    )
    op.create_index("session_hosts_collection", "session_hosts", ["collection_key"])


def _create_host_values() -> None:
    op.create_table(
        "session_host_values",
        sa.Column("host_key", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("host_key", "key", name=op.f("session_host_values_key")),
        sa.ForeignKeyConstraint(
            ["host_key"],
            ["session_hosts.name_key"],
            name=op.f("session_host_values_host_key"),
            ondelete="CASCADE",
        ),
    )


def _create_assignments() -> None:
    op.create_table(
        "desktop_assignments",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("domain_key", sa.Text, nullable=False),
        sa.Column("user_key", sa.Text, nullable=False),
        sa.Column("desktop_key", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("desktop", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("user_domain", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint(
            "collection_key", "domain_key", "user_key", name=op.f("desktop_assignments_key")
        ),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["session_collections.alias_key"],
            name=op.f("desktop_assignments_collection_key"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["desktop_key"],
            ["session_hosts.name_key"],
            name=op.f("desktop_assignments_desktop_key"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "desktop_assignments_desktop", "desktop_assignments", ["desktop_key"], unique=True
    )


def _create_settings() -> None:
    op.create_table(
        "settings",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("settings_key")),
    )
