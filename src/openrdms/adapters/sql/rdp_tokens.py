"""Routing tokens of RDP files."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.web_tables import rdp_tokens
from openrdms.model.change import Kind
from openrdms.model.rdp_token import RdpToken


class RdpTokenRecords:
    """The part of ports.Store about them."""

    _database: Database

    def put_rdp_token(self, token: RdpToken, most: int) -> None:
        key = token.account.casefold()
        columns = rdp_tokens.c
        of_account = columns.account_key == key
        newest = (
            sa.select(columns.secret_hash)
            .where(of_account)
            .order_by(columns.created.desc(), columns.secret_hash)
            .limit(most)
        )
        surplus = of_account & columns.secret_hash.not_in(newest)
        with self._database.write() as connection:
            rows.put_rows(connection, rdp_tokens, [rows.render_row(token, account_key=key)])
            outlived = columns.expires <= token.created
            connection.execute(sa.delete(rdp_tokens).where(outlived | surplus))

    def find_rdp_token(self, secret_hash: str) -> RdpToken | None:
        with self._database.read() as connection:
            wanted = rdp_tokens.c.secret_hash == secret_hash
            return rows.find_record(connection, RdpToken, rdp_tokens, wanted)

    def delete_rdp_tokens(self, account: str) -> None:
        with self._database.write() as connection:
            wanted = rdp_tokens.c.account_key == account.casefold()
            connection.execute(sa.delete(rdp_tokens).where(wanted))
            note_change(connection, Kind.ACCOUNT, account.casefold())
