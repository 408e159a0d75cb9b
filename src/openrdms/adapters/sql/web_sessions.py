"""Sessions of browsers and tokens of programs."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.web_tables import api_tokens, web_sessions
from openrdms.model.change import Kind
from openrdms.model.web_session import ApiToken, WebSession


class WebSessionRecords:
    """The part of ports.Store about them."""

    _database: Database

    def put_web_session(self, session: WebSession) -> None:
        row = rows.render_row(session, account_key=session.account.casefold())
        with self._database.write() as connection:
            rows.put_rows(connection, web_sessions, [row])

    def find_web_session(self, secret_hash: str) -> WebSession | None:
        with self._database.read() as connection:
            wanted = web_sessions.c.secret_hash == secret_hash
            return rows.find_record(connection, WebSession, web_sessions, wanted)

    def touch_web_session(self, secret_hash: str, used: datetime) -> None:
        self._set_session_times(secret_hash, used=used)

    def prove_web_session(self, secret_hash: str, proved: datetime) -> None:
        self._set_session_times(secret_hash, proved=proved)

    def _set_session_times(self, secret_hash: str, **times: datetime) -> None:
        wanted = web_sessions.c.secret_hash == secret_hash
        with self._database.write() as connection:
            connection.execute(sa.update(web_sessions).where(wanted).values(**times))

    def delete_web_session(self, secret_hash: str) -> None:
        self._end_sessions(web_sessions.c.secret_hash == secret_hash)

    def delete_web_sessions(
        self, *, account: str | None = None, used_before: datetime | None = None
    ) -> None:
        where = []
        if account is not None:
            where.append(web_sessions.c.account_key == account.casefold())
        if used_before is not None:
            where.append(web_sessions.c.used < used_before)
        self._end_sessions(*where)

    def _end_sessions(self, *where: sa.ColumnElement[bool]) -> None:
        """What is open by them, at whichever service, ends when that hears of it."""
        ended = sa.delete(web_sessions).where(*where).returning(web_sessions.c.account_key)
        with self._database.write() as connection:
            note_change(connection, Kind.ACCOUNT, *connection.scalars(ended))

    def put_api_token(self, token: ApiToken) -> None:
        row = rows.render_row(token, account_key=token.account.casefold())
        with self._database.write() as connection:
            rows.put_rows(connection, api_tokens, [row])

    def find_api_token(self, secret_hash: str) -> ApiToken | None:
        with self._database.read() as connection:
            wanted = api_tokens.c.secret_hash == secret_hash
            return rows.find_record(connection, ApiToken, api_tokens, wanted)

    def list_api_tokens(self, account: str | None = None) -> list[ApiToken]:
        where = [] if account is None else [api_tokens.c.account_key == account.casefold()]
        with self._database.read() as connection:
            order = [api_tokens.c.created, api_tokens.c.id]
            return rows.select_records(connection, ApiToken, api_tokens, *where, order=order)

    def delete_api_token(self, token_id: str) -> bool:
        with self._database.write() as connection:
            ended = sa.delete(api_tokens).where(api_tokens.c.id == token_id)
            owner = connection.scalar(ended.returning(api_tokens.c.account_key))
            if owner is not None:
                note_change(connection, Kind.ACCOUNT, owner)
            return owner is not None
