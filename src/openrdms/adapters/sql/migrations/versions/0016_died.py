"""Whose process is known to have ended, of the services that were taken for dead."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    died = sa.Column("died", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("members", died)
