"""When the last stay in a desktop ended, by the database's clock: services' own may differ."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("desktop_uses", sa.Column("stay_ended", sa.DateTime(timezone=True)))
