"""Secrets in SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.secret_suite import SecretSuite
from fakes.new_records import open_records
from openrdms.ports import Store


class TestSqliteSecrets(SecretSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = open_records(tmp_path / "records.sqlite")
        yield store
        store.close()
