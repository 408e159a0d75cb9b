"""Messages to users."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.web_tables import user_messages
from openrdms.model.change import Kind
from openrdms.model.user_message import UserMessage

_messages = user_messages.c


class UserMessageRecords:
    """The part of ports.Store about them."""

    _database: Database

    def put_user_message(self, message: UserMessage, kept_since: datetime) -> None:
        row = rows.render_row(message, account_key=message.account.casefold())

        def put(connection: sa.Connection) -> None:
            connection.execute(sa.delete(user_messages).where(_messages.sent < kept_since))
            rows.put_rows(connection, user_messages, [row])
            note_change(connection, Kind.MESSAGE, message.account.casefold())

        self._database.grouped(put)  # one message may be for a thousand users

    def list_user_messages(self, account: str, kept_since: datetime) -> list[UserMessage]:
        where = [_messages.account_key == account.casefold(), _messages.sent >= kept_since]
        with self._database.read() as connection:
            order = [_messages.sent.desc(), _messages.id]
            return rows.select_records(connection, UserMessage, user_messages, *where, order=order)

    def mark_user_message(self, account: str, message_id: str, read: datetime) -> bool:
        mine = [_messages.id == message_id, _messages.account_key == account.casefold()]
        first = sa.func.coalesce(_messages.read, sa.literal(read, _messages.read.type))
        with self._database.write() as connection:
            done = connection.execute(sa.update(user_messages).where(*mine).values(read=first))
            note_change(connection, Kind.MESSAGE, account.casefold())
            return done.rowcount == 1
