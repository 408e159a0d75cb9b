"""Requests that may come again, in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.repeated_request_suite import RepeatedRequestSuite
from openrdms.adapters import sql
from openrdms.ports import Store


class TestSqliteRepeatedRequests(RepeatedRequestSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = sql.open_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
        yield store
        store.close()
