"""People who wait for desktops, where several services must know of them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "waiting",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("collection_key", "holder_key")),
        sa.Column("holder", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("since", "asked")
        ),
        sa.PrimaryKeyConstraint("collection_key", "holder_key", name=op.f("waiting_key")),
    )
