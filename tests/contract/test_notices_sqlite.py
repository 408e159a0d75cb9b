"""What records in SQLite tell of their changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.notices_suite import NoticesSuite
from openrdms.adapters import sql
from openrdms.ports import Store


class TestSqliteNotices(NoticesSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = sql.open_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
        yield store
        store.close()
