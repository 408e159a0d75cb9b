"""Routing tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.accounts_suite import make_account
from fakes.leaving_records import LeavingRecords
from openrdms.adapters import sql
from openrdms.model import errors
from openrdms.model.rdp_token import RdpToken
from openrdms.ports import Store
from openrdms.security.rdp_token import RdpTokens
from openrdms.security.seen import Seen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = sql.open_store(f"sqlite:///{tmp_path}/records.sqlite")
    store.put_account(make_account("alice"))
    yield store
    store.close()


def test_a_token_is_good_for_its_hour_as_often_as_wanted(store: Store) -> None:
    now = [NOON]
    tokens = RdpTokens(store, lambda: now[0])
    text = tokens.issue("alice", "Office", HOUR)
    for _ in range(2):
        found = tokens.find(text)
        assert found and (found.account, found.collection) == ("alice", "Office")
    assert text not in repr(found)
    now[0] += HOUR
    assert tokens.find(text) is None


def test_a_revoked_token_is_none(store: Store) -> None:
    tokens = RdpTokens(store, lambda: NOON)
    text = tokens.issue("alice", "Office", HOUR)
    assert text != tokens.issue("alice", "Office", HOUR)
    tokens.revoke("Alice")
    assert tokens.find(text) is None


def test_while_records_are_away_those_that_were_seen_are_good(store: Store) -> None:
    now = [NOON]
    records: Any = LeavingRecords(store)
    seen = Seen[RdpToken]()
    store.subscribe(seen.hear)
    here, there = RdpTokens(records, lambda: now[0], seen), RdpTokens(store, lambda: now[0])
    issued, used, unseen = (one.issue("alice", "Office", HOUR) for one in (here, there, there))
    assert here.find(used)
    records.away = True
    for known in (issued, used):
        found = here.find(known)
        assert found and found.account == "alice"
    with pytest.raises(errors.RecordsUnavailable):
        here.find(unseen)
    there.revoke("alice")
    for known in (issued, used):
        with pytest.raises(errors.RecordsUnavailable):
            here.find(known)
    records.away = False
    again = here.issue("alice", "Office", HOUR)
    assert here.find(issued) is None
    records.away = True
    now[0] += HOUR
    assert here.find(again) is None


@given(st.text(max_size=60) | st.from_regex(r"openrdms:[\w-]{22}", fullmatch=True))
def test_nothing_else_is_one(text: str) -> None:
    class Nothing:
        def find_rdp_token(self, secret_hash: str) -> None:
            assert len(secret_hash) == 64

    assert RdpTokens(Nothing(), lambda: NOON).find(text) is None  # type: ignore[arg-type]
