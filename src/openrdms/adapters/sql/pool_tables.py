"""Tables of who may have which desktop, of hosts' settings and of step times."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.model.desktop_use import Use

desktop_uses = sa.Table(
    "desktop_uses",
    schema.metadata,
    sa.Column(
        "name_key",
        sa.Text,
        sa.ForeignKey("desktops.name_key", ondelete="CASCADE"),
        primary_key=True,
    ),
    schema.text_column("collection_key"),
    schema.member_column("use", Use),
    schema.time_column("since"),
    schema.time_column("fresh"),
    schema.text_column("holder"),
    schema.text_column("holder_key", null=True),
    schema.flag_column("asked"),
    schema.flag_column("seen"),
    schema.number_column("turn"),
    sa.Column("stay", sa.BigInteger, nullable=False, server_default="0"),
    schema.text_column("mark"),
    schema.repeated_column("claim"),
    schema.flag_column("saved"),
    schema.number_column("failures"),
    schema.text_column("reason"),
    schema.service_column(),
    schema.time_column("stay_ended", null=True),
    sa.CheckConstraint("(holder_key IS NOT NULL) = (use = 'taken')", name="held"),
    sa.CheckConstraint("(holder_key IS NULL) = (holder = '')", name="holder"),
    sa.Index("desktop_uses_state", "collection_key", "use", "claim", "saved", "fresh"),
    sa.CheckConstraint("use = 'taken' OR NOT asked", name="asked"),
    sa.Index("desktop_uses_holder", "collection_key", "holder_key"),
    sa.Index(
        "desktop_uses_one_each",
        "collection_key",
        "holder_key",
        unique=True,
        sqlite_where=sa.text("asked"),
        postgresql_where=sa.text("asked"),
    ),
)
"""``holder_key`` is the holder case-folded, NULL for nobody; ``stay_ended`` is when ``stay`` became
another one, by the database's clock.
"""

host_settings = sa.Table(
    "host_settings",
    schema.metadata,
    schema.text_column("host_key", key=True),
    schema.number_column("concurrency", null=True),
    schema.number_column("idle_count", null=True),
    sa.Column("drain", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("concurrency BETWEEN 1 AND 100", name="concurrency"),
    sa.CheckConstraint("idle_count >= 0", name="idle_count"),
)

step_times = sa.Table(
    "step_times",
    schema.metadata,
    schema.text_column("host", key=True),
    schema.text_column("kind", key=True),
    sa.Column("seconds", sa.Float, nullable=False),
    schema.number_column("count"),
)
