"""Joined nodes and scheduled patches."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_nodes()
    _create_patches()


def _create_nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("fqdn_key", sa.Text, nullable=False),
        sa.Column("fqdn", sa.Text, nullable=False),
        sa.Column("sid", sa.Text, nullable=True),
        sa.Column("os_version", sa.Text, nullable=True),
        sa.Column("joined", sa.Boolean, nullable=False),
        sa.Column("is_broker", sa.Boolean, nullable=False),
        sa.Column("is_gateway", sa.Boolean, nullable=False),
        sa.Column("is_licensing", sa.Boolean, nullable=False),
        sa.Column("is_vm_host", sa.Boolean, nullable=False),
        sa.Column("is_web_access", sa.Boolean, nullable=False),
        sa.Column("is_session_host", sa.Boolean, nullable=False),
        sa.Column("web_access_certificate", sa.Boolean, nullable=False),
        sa.Column("gateway_certificate", sa.Boolean, nullable=False),
        sa.Column("redirector_certificate", sa.Boolean, nullable=False),
        sa.Column("publishing_certificate", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("fqdn_key", name=op.f("nodes_key")),
        sa.UniqueConstraint("sid", name=op.f("nodes_sid")),
    )


def _create_patches() -> None:
    op.create_table(
        "patches",
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("guid", sa.Text, nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("force_log_off", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("requested", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "state",
            sa.Integer,
            sa.CheckConstraint("state IN (0, 1, 2, 3, 4, 5, 6)", name="state"),
            nullable=False,
        ),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("collection_key", name=op.f("patches_key")),
        sa.ForeignKeyConstraint(
            ["collection_key"],
            ["collections.alias_key"],
            name=op.f("patches_collection_key"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("start <= force_log_off", name="in_order"),
        sa.UniqueConstraint("guid", name=op.f("patches_guid")),
    )
