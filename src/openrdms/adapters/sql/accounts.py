"""Accounts, and the security identifiers of accounts and groups."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.web_tables import HANDED_OUT
from openrdms.model import errors
from openrdms.model.account import ADMINISTRATOR_RID, FIRST_RID, Account, Role
from openrdms.model.change import Kind

_accounts = sa.Table(
    "accounts",
    schema.metadata,
    schema.text_column("name_key", key=True),
    schema.text_column("name"),
    schema.text_column("sid"),
    schema.text_column("password_hash"),
    schema.member_column("role", Role),
    sa.Column("groups", schema.Texts, nullable=False),
    schema.flag_column("ntlm"),
    schema.flag_column("enabled"),
    schema.flag_column("from_options"),
    schema.time_column("created"),
    schema.time_column("changed"),
    sa.Column("source", sa.Text, nullable=False, server_default=""),
    sa.Column("external_id", sa.Text, nullable=False, server_default=""),
    sa.Column("directory_groups", schema.Texts, nullable=False, server_default="[]"),
    sa.Column("directory_sids", schema.Texts, nullable=False, server_default="[]"),
    schema.time_column("confirmed", null=True),
    sa.UniqueConstraint("sid"),
)

_security_ids = sa.Table(
    "security_ids",
    schema.metadata,
    schema.text_column("name_key", key=True),
    schema.text_column("name"),
    schema.flag_column("is_group"),
    schema.text_column("authority"),
    schema.number_column("rid"),
    sa.UniqueConstraint("rid"),
)
"""Never deleted, so a SID is never given twice. ``authority`` is the same in all of them."""


_PART = 1000
"""Names asked for in one statement."""


class AccountRecords:
    """The part of ports.Store about accounts and groups."""

    _database: Database

    def list_accounts(self, names: Iterable[str] | None = None) -> list[Account]:
        order = [_accounts.c.name_key]
        with self._database.read() as connection:
            return [
                account
                for wanted in _select(names)
                for account in rows.select_records(
                    connection, Account, _accounts, *wanted, order=order
                )
            ]

    def put_account(
        self,
        account: Account,
        before: Account | None = None,
        *,
        revoke: bool = False,
        leave_administrator: bool = False,
    ) -> bool:
        key = account.name.casefold()
        with self._database.write() as connection:
            wanted = _accounts.c.name_key == key
            if rows.find_record(connection, Account, _accounts, wanted) != before:
                return False
            rows.put_rows(connection, _accounts, [rows.render_row(account, name_key=key)])
            for table in HANDED_OUT if revoke else ():
                connection.execute(sa.delete(table).where(table.c.account_key == key))
            if leave_administrator and before and _administers(before):
                _check_administrators(connection, account.name)
            note_change(connection, Kind.ACCOUNT, key)
            return True

    def delete_account(self, name: str) -> None:
        wanted = _accounts.c.name_key == name.casefold()
        with self._database.write() as connection:
            account = rows.find_record(connection, Account, _accounts, wanted)
            connection.execute(sa.delete(_accounts).where(wanted))
            if account and _administers(account):
                _check_administrators(connection, account.name)
            note_change(connection, Kind.ACCOUNT, name.casefold())

    def list_confirmations(self, names: Iterable[str] | None = None) -> dict[str, datetime]:
        known = sa.select(_accounts.c.name, _accounts.c.confirmed).where(
            _accounts.c.confirmed.is_not(None)
        )
        with self._database.read() as connection:
            return {
                row.name: row.confirmed
                for wanted in _select(names)
                for row in connection.execute(known.where(*wanted))
            }

    def confirm_accounts(self, names: Iterable[str], confirmed: datetime | None) -> None:
        keys = [{"key": name.casefold(), "moment": confirmed} for name in names]
        wanted = _accounts.c.name_key == sa.bindparam("key")
        statement = sa.update(_accounts).where(wanted).values(confirmed=sa.bindparam("moment"))
        if keys:
            with self._database.write() as connection:
                connection.execute(statement, keys)
                note_change(connection, Kind.ACCOUNT, *(str(key["key"]) for key in keys))

    def account_sid(self, name: str, *, built_in: bool = False) -> str:
        with self._database.write() as connection:
            return _give_sid(connection, name, is_group=False, built_in=built_in)

    def group_sid(self, name: str) -> str:
        with self._database.write() as connection:
            return _give_sid(connection, name, is_group=True)


def _select(names: Iterable[str] | None) -> list[list[sa.ColumnElement[bool]]]:
    """What selects accounts of these names, or all, some at a time."""
    if names is None:
        return [[]]
    keys = [name.casefold() for name in names]
    parts = [keys[at : at + _PART] for at in range(0, len(keys), _PART)]
    return [[_accounts.c.name_key.in_(part)] for part in parts]


def _administers(account: Account) -> bool:
    return account.enabled and account.role is Role.ADMINISTRATOR


def _check_administrators(connection: sa.Connection, without: str) -> None:
    """One is left by this transaction, beside which no other writes. InvalidOperation."""
    is_one = sa.and_(_accounts.c.enabled, _accounts.c.role == Role.ADMINISTRATOR)
    if not connection.execute(sa.select(sa.exists().where(is_one))).scalar():
        raise errors.InvalidOperation(f"{without!r} is the last enabled administrator")


def _give_sid(
    connection: sa.Connection, name: str, *, is_group: bool, built_in: bool = False
) -> str:
    """The SID of a name, made when it has none."""
    key = name.casefold()
    known = connection.execute(
        sa.select(_security_ids).where(_security_ids.c.name_key == key)
    ).one_or_none()
    if known is None:
        authority, rid = _find_authority(connection), _next_rid(connection, built_in=built_in)
        row = {"name_key": key, "name": name, "is_group": is_group}
        connection.execute(sa.insert(_security_ids).values(**row, authority=authority, rid=rid))
        return f"{authority}-{rid}"
    if known.is_group != is_group:
        kind = "a group" if known.is_group else "an account"
        raise errors.AlreadyExists(f"{name!r} is, or was, the name of {kind}")
    return f"{known.authority}-{known.rid}"


def _find_authority(connection: sa.Connection) -> str:
    """What all SIDs of this deployment begin with; at random for the first (MS-DTYP 2.4.2.4)."""
    found = connection.execute(sa.select(_security_ids.c.authority).limit(1)).scalar()
    return found or "-".join(["S-1-5-21", *(str(secrets.randbits(32)) for _ in range(3))])


def _next_rid(connection: sa.Connection, *, built_in: bool) -> int:
    newest = connection.execute(sa.select(sa.func.max(_security_ids.c.rid))).scalar() or 0
    taken = sa.exists().where(_security_ids.c.rid == ADMINISTRATOR_RID)
    if built_in and not connection.execute(sa.select(taken)).scalar():
        return ADMINISTRATOR_RID
    return max(newest + 1, FIRST_RID)
