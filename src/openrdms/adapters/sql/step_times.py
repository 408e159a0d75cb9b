"""How long the steps of jobs took lately."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.pool_tables import step_times
from openrdms.model.job import StepTime


class StepTimeRecords:
    """The part of ports.Store about step times."""

    _database: Database

    def list_step_times(self) -> list[StepTime]:
        with self._database.read() as connection:
            return rows.select_records(connection, StepTime, step_times)

    def put_step_times(self, times: Iterable[StepTime]) -> None:
        new = [rows.render_row(time) for time in times]
        with self._database.write() as connection:
            rows.put_rows(connection, step_times, new)
