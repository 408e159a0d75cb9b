"""Accounts on records of their own, at a time that stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.clock import StoppedClock
from fakes.new_records import open_records
from openrdms.ports import Store
from openrdms.security.accounts import Accounts


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_records(tmp_path / "records.sqlite")
    yield store
    store.close()


@pytest.fixture
def accounts(store: Store, tmp_path: Path, clock: StoppedClock) -> Accounts:
    return Accounts(store, tmp_path / "nt-hashes", clock)
