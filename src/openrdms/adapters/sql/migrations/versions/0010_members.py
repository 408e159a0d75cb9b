"""Services that share the database, and which of them has what under way."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "members",
        sa.Column("number", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("id", "name", "address")),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fenced", sa.Boolean, nullable=False),
        sa.Column("taken", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("members_key")),
        sa.UniqueConstraint("id", name=op.f("members_id")),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("duties_key")),
    )
    for table in ("jobs", "desktop_uses", "tasks", "repeated_requests", "audit_log"):
        op.add_column(table, sa.Column("service", sa.Text, nullable=False, server_default=""))
