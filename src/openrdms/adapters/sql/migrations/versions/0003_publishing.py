"""Names of collections, published applications, file types and the feed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from openrdms.model.errors import InvalidParameter
from openrdms.model.farm_settings import find_share, fold_share

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
    _claim_shares()
    _create_applications()
    _create_file_types()
    _create_feed()


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
        sa.Column("share_key", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("alias_key", name=op.f("collection_names_key")),
        sa.UniqueConstraint("name_key", name=op.f("collection_names_name_key")),
        sa.UniqueConstraint("share_key", name=op.f("collection_names_share_key")),
    )


def _claim_shares() -> None:
    """Of collections that put profile disks on one share, the first has it."""
    connection = op.get_bind()
    settings = connection.exec_driver_sql(
        "SELECT alias_key, vm_farm_settings FROM collections"
        " WHERE vm_farm_settings IS NOT NULL ORDER BY alias_key"
    ).all()
    names = sa.table("collection_names", sa.column("alias_key"), sa.column("share_key"))
    taken = {""}
    for alias, text in settings:
        try:
            share = fold_share(find_share(text))
        except InvalidParameter:  # older services took what clients cannot read
            continue
        if share not in taken:
            taken.add(share)
            connection.execute(
                sa.update(names).where(names.c.alias_key == alias).values(share_key=share)
            )


def _create_applications() -> None:
    op.create_table(
        "published_applications",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("alias_key", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("virtual_path", sa.Text, nullable=False),
        sa.Column("show_in_portal", sa.Boolean, nullable=False),
        sa.Column("security_descriptor", sa.Text, nullable=True),
        sa.Column(
            "command_line_setting",
            sa.Integer,
            sa.CheckConstraint("command_line_setting IN (0, 1, 2)", name="command_line_setting"),
            nullable=False,
        ),
        sa.Column("required_command_line", sa.Text, nullable=True),
        sa.Column("folder", sa.Text, nullable=True),
        *_icon_columns(),
        sa.PrimaryKeyConstraint(
            "collection_key", "alias_key", name=op.f("published_applications_key")
        ),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collection_names.alias_key"],
            name=op.f("published_applications_collection_key"),
            ondelete="CASCADE",
        ),
    )


def _create_file_types() -> None:
    op.create_table(
        "file_types",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("application_key", sa.Text, nullable=False),
        sa.Column("extension_key", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("application", sa.Text, nullable=False),
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("prog_id_hint", sa.Text, nullable=True),
        *_icon_columns(),
        sa.Column("is_primary_handler", sa.Boolean, nullable=False),
        sa.Column("is_published", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint(
            "collection_key", "application_key", "extension_key", name=op.f("file_types_key")
        ),
        sa.ForeignKeyConstraint(
            ["collection_key", "application_key"],
            ["published_applications.collection_key", "published_applications.alias_key"],
            name=op.f("file_types_collection_key"),
            ondelete="CASCADE",
        ),
    )


def _create_feed() -> None:
    op.create_table(
        "feed",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("application_key", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("application", sa.Text, nullable=False),
        sa.Column(
            "kind",
            sa.Text,
            sa.CheckConstraint("kind IN ('application', 'desktop')", name="kind"),
            nullable=False,
        ),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=True),
        sa.Column("show", sa.Boolean, nullable=False),
        sa.Column("icon", sa.LargeBinary, nullable=True),
        sa.Column("descriptors", sa.JSON, nullable=False),
        sa.Column("file_types", sa.JSON, nullable=False),
        sa.Column("command_line", sa.Text, nullable=True),
        sa.Column("modified", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("collection_key", "application_key", name=op.f("feed_key")),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collection_names.alias_key"],
            name=op.f("feed_collection_key"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("(kind = 'desktop') = (application_key = '')", name="desktop"),
    )


def _icon_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("icon_path", sa.Text, nullable=True),
        sa.Column("icon_index", sa.BigInteger, nullable=False),
        sa.Column("icon", sa.LargeBinary, nullable=True),
    ]
