"""Requests that may come again."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database
from openrdms.model.repeated_request import RepeatedRequest

repeated_requests = sa.Table(
    "repeated_requests",
    schema.metadata,
    schema.text_column("account_key", key=True),
    schema.text_column("key", key=True),
    schema.text_column("account"),
    schema.text_column("digest"),
    schema.time_column("begun"),
    schema.number_column("status", null=True),
    sa.Column("body", sa.LargeBinary, nullable=True),
    schema.text_column("location"),
    schema.service_column(),
    sa.ForeignKeyConstraint(["account_key"], ["accounts.name_key"], ondelete="CASCADE"),
    sa.Index("repeated_requests_begun", "begun"),
)
_table = repeated_requests.c


class RepeatedRequestRecords:
    """The part of ports.Store about them."""

    _database: Database

    def add_request(self, request: RepeatedRequest, kept_since: datetime) -> RepeatedRequest | None:
        with self._database.write() as connection:
            old = sa.delete(repeated_requests).where(_table.begun < kept_since)
            connection.execute(old)
            found = rows.find_record(
                connection, RepeatedRequest, repeated_requests, _is(request.account, request.key)
            )
            if found is None:
                _put(connection, request, self._database.service)
            return found

    def take_request(self, account: str, key: str) -> bool:
        if not self._database.is_shared:
            return True
        mine = sa.or_(
            _table.service == self._database.service, self._database.is_left(_table.service)
        )
        unanswered = sa.update(repeated_requests).where(_is(account, key), _table.status.is_(None))
        with self._database.write() as connection:
            taken = unanswered.where(mine).values(service=self._database.service)
            return connection.execute(taken).rowcount == 1

    def put_request(self, request: RepeatedRequest) -> None:
        with self._database.write() as connection:
            _put(connection, request, self._database.service)

    def drop_request(self, account: str, key: str) -> None:
        with self._database.write() as connection:
            connection.execute(sa.delete(repeated_requests).where(_is(account, key)))


def _is(account: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(_table.account_key == account.casefold(), _table.key == key)


def _put(connection: sa.Connection, request: RepeatedRequest, service: str) -> None:
    row = rows.render_row(request, account_key=request.account.casefold(), service=service)
    rows.put_rows(connection, repeated_requests, [row])
