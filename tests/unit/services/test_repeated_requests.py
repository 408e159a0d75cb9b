"""Requests that come again, at every moment of the first one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.repeated_request_suite import put_alice
from fakes.clock import StoppedClock
from openrdms.adapters import sql
from openrdms.model import errors
from openrdms.model.repeated_request import KEPT
from openrdms.ports import Store
from openrdms.services.repeated_requests import OutcomeUnknown, RepeatedRequests, StillUnderWay

REQUEST = ("Alice", "key", "digest")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = sql.open_store(f"sqlite:///{tmp_path / 'records.sqlite'}")
    put_alice(store)
    yield store
    store.close()


def test_while_it_is_under_way_and_after(store: Store) -> None:
    requests = RepeatedRequests(store, StoppedClock())
    assert requests.begin(*REQUEST, repeatable=False) is None
    for repeatable in (False, True):
        with pytest.raises(StillUnderWay):
            requests.begin("ALICE", "key", "digest", repeatable=repeatable)
    requests.finish(*REQUEST, 201, b"{}", "/x")
    requests.leave("Alice", "key")
    for _ in range(2):
        known = requests.begin(*REQUEST, repeatable=False)
        assert known
        assert (known.status, known.body, known.location) == (201, b"{}", "/x")
    with pytest.raises(errors.InvalidParameter, match="Idempotency-Key"):
        requests.begin("Alice", "key", "another", repeatable=False)


def test_after_a_death_in_between(store: Store) -> None:
    RepeatedRequests(store, StoppedClock()).begin(*REQUEST, repeatable=False)
    after = RepeatedRequests(store, StoppedClock())
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            after.begin(*REQUEST, repeatable=False)
    assert after.begin(*REQUEST, repeatable=True) is None


def test_after_a_defect(store: Store) -> None:
    requests = RepeatedRequests(store, StoppedClock())
    requests.begin(*REQUEST, repeatable=False)
    requests.leave("Alice", "key")
    with pytest.raises(OutcomeUnknown):
        requests.begin(*REQUEST, repeatable=False)


def test_after_a_refusal(store: Store) -> None:
    requests = RepeatedRequests(store, StoppedClock())
    requests.begin(*REQUEST, repeatable=False)
    requests.forget("Alice", "key")
    requests.leave("Alice", "key")
    assert requests.begin("Alice", "key", "another", repeatable=False) is None


def test_a_day_later_it_is_another(store: Store) -> None:
    clock = StoppedClock()
    requests = RepeatedRequests(store, clock)
    requests.begin(*REQUEST, repeatable=False)
    requests.finish(*REQUEST, 200, b"", "")
    requests.leave("Alice", "key")
    clock.move(KEPT * 2)
    assert requests.begin("Alice", "key", "another", repeatable=False) is None
