"""Sessions of browsers, tokens of programs, accounts of directories, stays in desktops."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _count_stays()
    _know_directories()
    _create_web_sessions()
    _create_api_tokens()
    _create_rdp_tokens()
    _create_display_tickets()
    _create_user_messages()
    _create_tasks()
    _create_repeated_requests()
    _create_second_factors()


def _of_account(table: str) -> tuple[sa.Column[str], sa.Column[str], sa.ForeignKeyConstraint]:
    """Whose it is; it goes with the account."""
    return (
        sa.Column("account_key", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_key"],
            ["accounts.name_key"],
            name=op.f(f"{table}_account_key"),
            ondelete="CASCADE",
        ),
    )


def _count_stays() -> None:
    stay = sa.Column("stay", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("desktop_uses", stay)


def _know_directories() -> None:
    for name in ("source", "external_id"):
        op.add_column("accounts", sa.Column(name, sa.Text, nullable=False, server_default=""))
    for name in ("directory_groups", "directory_sids"):
        op.add_column("accounts", sa.Column(name, sa.JSON, nullable=False, server_default="[]"))
    op.add_column("accounts", sa.Column("confirmed", sa.DateTime(timezone=True), nullable=True))


def _create_second_factors() -> None:
    op.create_table(
        "second_factors",
        *_of_account("second_factors"),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("recovery", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("enrolled", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_key", name=op.f("second_factors_key")),
    )


def _create_web_sessions() -> None:
    op.create_table(
        "web_sessions",
        sa.Column("secret_hash", sa.Text, nullable=False),
        *_of_account("web_sessions"),
        sa.Column("proof", sa.Text, nullable=False),
        sa.Column("csrf", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proved", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("web_sessions_key")),
    )
    op.create_index("web_sessions_account", "web_sessions", ["account_key"])


def _create_api_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        *_of_account("api_tokens"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("api_tokens_key")),
        sa.UniqueConstraint("secret_hash", name=op.f("api_tokens_secret_hash")),
    )
    op.create_index("api_tokens_account", "api_tokens", ["account_key"])


def _create_rdp_tokens() -> None:
    op.create_table(
        "rdp_tokens",
        sa.Column("secret_hash", sa.Text, nullable=False),
        *_of_account("rdp_tokens"),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("rdp_tokens_key")),
    )
    op.create_index("rdp_tokens_account", "rdp_tokens", ["account_key"])
    op.create_index("rdp_tokens_expires", "rdp_tokens", ["expires"])


def _create_display_tickets() -> None:
    op.create_table(
        "display_tickets",
        sa.Column("secret_hash", sa.Text, nullable=False),
        *_of_account("display_tickets"),
        sa.Column("desktop", sa.Text, nullable=False),
        sa.Column(
            "mode",
            sa.Text,
            sa.CheckConstraint("mode IN ('view', 'control')", name="mode"),
            nullable=False,
        ),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("stay", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.Boolean, nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("display_tickets_key")),
    )
    op.create_index("display_tickets_account", "display_tickets", ["account_key"])
    op.create_index("display_tickets_expires", "display_tickets", ["expires"])


def _create_user_messages() -> None:
    op.create_table(
        "user_messages",
        sa.Column("id", sa.Text, nullable=False),
        *_of_account("user_messages"),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("sent", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("user_messages_key")),
    )
    op.create_index("user_messages_account", "user_messages", ["account_key", "sent"])
    op.create_index("user_messages_sent", "user_messages", ["sent"])


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column(
            "state",
            sa.Text,
            sa.CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="state"),
            nullable=False,
        ),
        sa.Column("begun", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("tasks_key")),
    )
    op.create_index("tasks_begun", "tasks", ["begun", "id"])


def _create_repeated_requests() -> None:
    op.create_table(
        "repeated_requests",
        *_of_account("repeated_requests"),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("begun", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.BigInteger, nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=True),
        sa.Column("location", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account_key", "key", name=op.f("repeated_requests_key")),
    )
    op.create_index("repeated_requests_begun", "repeated_requests", ["begun"])
