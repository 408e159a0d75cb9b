"""Tables of what the web front end hands out."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.model.display_ticket import Mode

web_sessions = sa.Table(
    "web_sessions",
    schema.metadata,
    schema.text_column("secret_hash", key=True),
    schema.text_column("account_key"),
    schema.text_column("account"),
    schema.text_column("proof"),
    schema.text_column("csrf"),
    schema.text_column("address"),
    schema.time_column("began"),
    schema.time_column("used"),
    schema.time_column("proved"),
    sa.ForeignKeyConstraint(["account_key"], ["accounts.name_key"], ondelete="CASCADE"),
    sa.Index("web_sessions_account", "account_key"),
)

api_tokens = sa.Table(
    "api_tokens",
    schema.metadata,
    schema.text_column("id", key=True),
    schema.text_column("secret_hash"),
    schema.text_column("account_key"),
    schema.text_column("account"),
    schema.text_column("name"),
    sa.Column("scopes", schema.Texts, nullable=False),
    schema.time_column("created"),
    schema.time_column("expires", null=True),
    sa.ForeignKeyConstraint(["account_key"], ["accounts.name_key"], ondelete="CASCADE"),
    sa.UniqueConstraint("secret_hash"),
    sa.Index("api_tokens_account", "account_key"),
)

rdp_tokens = sa.Table(
    "rdp_tokens",
    schema.metadata,
    schema.text_column("secret_hash", key=True),
    schema.text_column("account_key"),
    schema.text_column("account"),
    schema.text_column("collection"),
    schema.time_column("created"),
    schema.time_column("expires"),
    sa.ForeignKeyConstraint(["account_key"], ["accounts.name_key"], ondelete="CASCADE"),
    sa.Index("rdp_tokens_account", "account_key"),
    sa.Index("rdp_tokens_expires", "expires"),
)

display_tickets = sa.Table(
    "display_tickets",
    schema.metadata,
    schema.text_column("secret_hash", key=True),
    schema.text_column("account_key"),
    schema.text_column("account"),
    schema.text_column("desktop"),
    schema.member_column("mode", Mode),
    schema.text_column("holder"),
    schema.number_column("stay"),
    schema.flag_column("seen"),
    schema.time_column("expires"),
    sa.ForeignKeyConstraint(["account_key"], ["accounts.name_key"], ondelete="CASCADE"),
    sa.Index("display_tickets_account", "account_key"),
    sa.Index("display_tickets_expires", "expires"),
)

HANDED_OUT = (web_sessions, api_tokens, rdp_tokens, display_tickets)
"""What stands for an account's password."""

user_messages = sa.Table(
    "user_messages",
    schema.metadata,
    schema.text_column("id", key=True),
    schema.text_column("account_key"),
    schema.text_column("account"),
    schema.text_column("title"),
    schema.text_column("text"),
    schema.time_column("sent"),
    schema.time_column("read", null=True),
    sa.ForeignKeyConstraint(["account_key"], ["accounts.name_key"], ondelete="CASCADE"),
    sa.Index("user_messages_account", "account_key", "sent"),
    sa.Index("user_messages_sent", "sent"),
)

second_factors = sa.Table(
    "second_factors",
    schema.metadata,
    schema.text_column("account_key", key=True),
    schema.text_column("account"),
    schema.text_column("secret"),
    schema.number_column("last_step"),
    sa.Column("recovery", schema.Texts, nullable=False),
    schema.time_column("enrolled"),
    sa.ForeignKeyConstraint(["account_key"], ["accounts.name_key"], ondelete="CASCADE"),
)
