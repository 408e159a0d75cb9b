"""Lists of jobs in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.job_list_suite import JobListSuite
from openrdms.adapters import sql
from openrdms.ports import Store


class TestSqliteJobLists(JobListSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = sql.open_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
        yield store
        store.close()
