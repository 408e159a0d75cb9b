"""Messages to users in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.store_suite import OpenStore
from contract.user_message_suite import UserMessageStoreSuite
from openrdms.adapters import sql
from openrdms.ports import Store


class TestSqliteUserMessages(UserMessageStoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[OpenStore]:
        opened: list[Store] = []

        def open_store() -> Store:
            opened.append(sql.open_store(f"sqlite:///{tmp_path / 'records.sqlite'}"))
            return opened[-1]

        yield open_store
        for store in opened:
            store.close()
