"""Checksums of the files that an image is booted by."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("kernel_sha256", "initrd_sha256"):
        op.add_column("images", sa.Column(name, sa.Text, nullable=False, server_default=""))
