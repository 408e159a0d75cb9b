"""Second factors of accounts."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.web_tables import second_factors
from openrdms.model.change import Kind
from openrdms.model.second_factor import SecondFactor

_columns = second_factors.c


class SecondFactorRecords:
    """The part of ports.Store about them."""

    _database: Database

    def add_second_factor(self, factor: SecondFactor) -> bool:
        row = rows.render_row(factor, account_key=factor.account.casefold())
        with self._database.write() as connection:
            if rows.find_record(connection, SecondFactor, second_factors, _of(factor.account)):
                return False
            connection.execute(sa.insert(second_factors).values(**row))
            note_change(connection, Kind.ACCOUNT, factor.account.casefold())
            return True

    def find_second_factor(self, account: str) -> SecondFactor | None:
        with self._database.read() as connection:
            return rows.find_record(connection, SecondFactor, second_factors, _of(account))

    def list_second_factors(self) -> list[SecondFactor]:
        with self._database.read() as connection:
            return rows.select_records(connection, SecondFactor, second_factors)

    def use_time_step(self, account: str, step: int) -> bool:
        unused = _of(account) & (_columns.last_step < step)
        with self._database.write() as connection:
            statement = sa.update(second_factors).where(unused).values(last_step=step)
            taken = connection.execute(statement).rowcount == 1
            if taken:
                note_change(connection, Kind.ACCOUNT, account.casefold())
            return taken

    def use_recovery_code(self, account: str, code_hash: str) -> bool:
        with self._database.write() as connection:
            known = rows.find_record(connection, SecondFactor, second_factors, _of(account))
            if known is None or code_hash not in known.recovery:
                return False
            left = tuple(other for other in known.recovery if other != code_hash)
            statement = sa.update(second_factors).where(_of(account)).values(recovery=left)
            connection.execute(statement)
            return True

    def delete_second_factor(self, account: str) -> None:
        with self._database.write() as connection:
            connection.execute(sa.delete(second_factors).where(_of(account)))
            note_change(connection, Kind.ACCOUNT, account.casefold())


def _of(account: str) -> sa.ColumnElement[bool]:
    return _columns.account_key == account.casefold()
