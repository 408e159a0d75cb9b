"""Which programs can use these tables: services of two versions share them during an upgrade."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    needs = op.create_table(
        "schema_needs",
        sa.Column("oldest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("oldest", name=op.f("schema_needs_key")),
    )
    op.bulk_insert(needs, [{"oldest": revision}])
