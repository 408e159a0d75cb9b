"""SQLite keeps what a store promises about tickets to displays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.display_suite import DisplayTicketSuite
from fakes.new_records import open_records
from openrdms.ports import Store


class TestSqliteDisplayTickets(DisplayTicketSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = open_records(tmp_path / "records.sqlite")
        yield store
        store.close()
