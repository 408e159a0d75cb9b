"""What every store promises of requests that may come again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from openrdms.model.account import Account, Role
from openrdms.model.repeated_request import RepeatedRequest
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(hours=24)


def make_request(key: str, begun: datetime = NOW) -> RepeatedRequest:
    return RepeatedRequest("Alice", key, "digest", begun)


def put_alice(store: Store) -> None:
    flags = {"ntlm": False, "enabled": True, "from_options": False}
    sid = store.account_sid("alice")
    store.put_account(
        Account("alice", sid, "", Role.OPERATOR, (), **flags, created=NOW, changed=NOW)
    )


class RepeatedRequestSuite:
    """Adapters give ``store``."""

    @pytest.fixture
    def known(self, store: Store) -> Store:
        put_alice(store)
        return store

    def test_the_first_of_a_key_is_kept(self, known: Store) -> None:
        first = make_request("one")
        assert known.add_request(first, NOW - DAY) is None
        assert known.add_request(replace(first, account="ALICE"), NOW - DAY) == first
        done = replace(first, status=201, body=b"{}", location="/x")
        known.put_request(done)
        assert known.add_request(first, NOW - DAY) == done

    def test_keys_are_compared_as_they_are(self, known: Store) -> None:
        assert known.add_request(make_request("one"), NOW - DAY) is None
        assert known.add_request(make_request("ONE"), NOW - DAY) is None

    def test_what_is_dropped_may_come_anew(self, known: Store) -> None:
        known.add_request(make_request("one"), NOW - DAY)
        known.drop_request("alice", "one")
        assert known.add_request(make_request("one"), NOW - DAY) is None

    def test_old_ones_go(self, known: Store) -> None:
        known.add_request(make_request("one", NOW - 2 * DAY), NOW - 3 * DAY)
        known.add_request(make_request("two"), NOW - DAY)
        assert known.add_request(make_request("one"), NOW - DAY) is None

    def test_they_go_with_their_account(self, known: Store) -> None:
        known.add_request(make_request("one"), NOW - DAY)
        known.delete_account("alice")
        put_alice(known)
        assert known.add_request(make_request("one"), NOW - DAY) is None
