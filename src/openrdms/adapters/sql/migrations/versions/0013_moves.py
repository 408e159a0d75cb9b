"""Desktops on their way to another host, and hosts that are being emptied."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("moving_to", "mover"):
        op.add_column("desktops", sa.Column(name, sa.Text, nullable=False, server_default=""))
    moving = sa.text("moving_to <> ''")
    op.create_index(
        "desktops_moving",
        "desktops",
        ["moving_to"],
        sqlite_where=moving,
        postgresql_where=moving,
    )
    op.add_column(
        "host_settings",
        sa.Column("drain", sa.Boolean, nullable=False, server_default=sa.false()),
    )
