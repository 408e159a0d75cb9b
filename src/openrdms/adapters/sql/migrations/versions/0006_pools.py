"""Uses of desktops, settings of hosts, step times; reason and wave of a job's desktops."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_desktop_uses()
    _enter_desktops()
    _create_host_settings()
    _create_step_times()
    op.add_column("job_desktops", sa.Column("reason", sa.Text, nullable=False, server_default=""))
    op.add_column(
        "job_desktops", sa.Column("wave", sa.BigInteger, nullable=False, server_default="0")
    )


def _create_desktop_uses() -> None:
    uses = ("unready", "preparing", "ready", "taken", "work", "quarantined")
    allowed = ", ".join(f"'{use}'" for use in uses)
    op.create_table(
        "desktop_uses",
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("collection_key", sa.Text, nullable=False),
        sa.Column(
            "use", sa.Text, sa.CheckConstraint(f"use IN ({allowed})", name="use"), nullable=False
        ),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fresh", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("holder_key", sa.Text, nullable=True),
        sa.Column("asked", sa.Boolean, nullable=False),
        sa.Column("seen", sa.Boolean, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("mark", sa.Text, nullable=False),
        sa.Column("claim", sa.Text, nullable=False),
        sa.Column("saved", sa.Boolean, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name_key", name=op.f("desktop_uses_key")),
        sa.ForeignKeyConstraint(
            ["name_key"],
            ["desktops.name_key"],
            name=op.f("desktop_uses_name_key"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("(holder_key IS NOT NULL) = (use = 'taken')", name="held"),
        sa.CheckConstraint("(holder_key IS NULL) = (holder = '')", name="holder"),
        sa.CheckConstraint("use = 'taken' OR NOT asked", name="asked"),
    )
    op.create_index(
        "desktop_uses_state",
        "desktop_uses",
        ["collection_key", "use", "claim", "saved", "fresh"],
    )
    holder = ["collection_key", "holder_key"]
    op.create_index("desktop_uses_holder", "desktop_uses", holder)
    op.create_index(
        "desktop_uses_one_each",
        "desktop_uses",
        holder,
        unique=True,
        sqlite_where=sa.text("asked"),
        postgresql_where=sa.text("asked"),
    )


def _enter_desktops() -> None:
    """Of desktops that are there already nobody knows who used them."""
    op.execute(
        """INSERT INTO desktop_uses
           (name_key, collection_key, use, since, fresh, holder, holder_key, asked, seen, turn,
            mark, claim, saved, failures, reason)
           SELECT name_key, collection_key, 'unready', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP,
                  '', NULL, false, false, 0, '', '', false, 0, ''
           FROM desktops"""
    )


def _create_host_settings() -> None:
    op.create_table(
        "host_settings",
        sa.Column("host_key", sa.Text, nullable=False),
        sa.Column("concurrency", sa.BigInteger, nullable=True),
        sa.Column("idle_count", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("host_key", name=op.f("host_settings_key")),
        sa.CheckConstraint("concurrency BETWEEN 1 AND 100", name="concurrency"),
        sa.CheckConstraint("idle_count >= 0", name="idle_count"),
    )


def _create_step_times() -> None:
    op.create_table(
        "step_times",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("host", "kind", name=op.f("step_times_key")),
    )
