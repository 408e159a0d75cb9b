"""Names of collections, published applications, file types and the feed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_collection_names()
    op.execute(
        "INSERT INTO collection_names (alias_key, name_key, alias, kind)"
        " SELECT alias_key, name_key, alias, 'desktops' FROM collections"
    )


def _create_collection_names() -> None:
    op.create_table(
        "collection_names",
        sa.Column("alias_key", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column(
            "kind",
            sa.Text,
            sa.CheckConstraint("kind IN ('desktops', 'sessions')", name="kind"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("alias_key", name=op.f("collection_names_key")),
        sa.UniqueConstraint("name_key", name=op.f("collection_names_name_key")),
    )
