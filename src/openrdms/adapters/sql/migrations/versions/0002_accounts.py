"""Accounts, groups and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ROLES = "role IN ('administrator', 'operator', 'helpdesk', 'auditor', 'user')"


def upgrade() -> None:
    _create_accounts()
    _create_security_ids()
    _create_audit_log()


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sid", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("role", sa.Text, sa.CheckConstraint(_ROLES, name="role"), nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("ntlm", sa.Boolean, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("from_options", sa.Boolean, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name_key", name=op.f("accounts_key")),
        sa.UniqueConstraint("sid", name=op.f("accounts_sid")),
    )


def _create_security_ids() -> None:
    op.create_table(
        "security_ids",
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("is_group", sa.Boolean, nullable=False),
        sa.Column("authority", sa.Text, nullable=False),
        sa.Column("rid", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name_key", name=op.f("security_ids_key")),
        sa.UniqueConstraint("rid", name=op.f("security_ids_rid")),
    )


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("who_key", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("on", sa.JSON, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("of", sa.BigInteger, nullable=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("audit_log_key")),
    )
    op.create_index("audit_log_of", "audit_log", ["of", "sequence"])
