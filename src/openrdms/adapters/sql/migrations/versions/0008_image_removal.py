"""Versions of images that are removed: their numbers are never given again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("removed", sa.Boolean, nullable=False, server_default="0"))
