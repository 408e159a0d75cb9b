"""What every store must do about messages to users (ports.UserMessageStore)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from contract.accounts_suite import NOW, make_account
from contract.store_suite import OpenStore
from openrdms.model.user_message import UserMessage
from openrdms.ports import Store

HOUR = timedelta(hours=1)
FIRST = UserMessage("1", "Alice", "Tonight", "Save your work.", NOW)
SECOND = UserMessage("2", "Alice", "", "Now.", NOW + HOUR)


class UserMessageStoreSuite:
    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        store = open_store()
        store.put_account(make_account("Alice"))
        store.put_account(make_account("bob", "S-1-5-21-1-2-3-1001"))
        return store

    def test_the_newest_comes_first(self, store: Store) -> None:
        for message in (FIRST, SECOND, replace(FIRST, id="3", account="bob")):
            store.put_user_message(message, NOW)
        assert store.list_user_messages("ALICE", NOW) == [SECOND, FIRST]
        assert store.list_user_messages("alice", NOW + HOUR) == [SECOND]

    def test_old_ones_go_with_the_next(self, store: Store) -> None:
        store.put_user_message(FIRST, NOW)
        store.put_user_message(replace(SECOND, account="bob"), NOW + HOUR)
        assert store.list_user_messages("alice", NOW - HOUR) == []

    def test_one_is_read_once_and_by_whose_it_is(self, store: Store) -> None:
        store.put_user_message(FIRST, NOW)
        assert not store.mark_user_message("bob", "1", NOW)
        assert not store.mark_user_message("alice", "2", NOW)
        assert store.mark_user_message("ALICE", "1", NOW + HOUR)
        assert store.mark_user_message("alice", "1", NOW + 2 * HOUR)
        (message,) = store.list_user_messages("alice", NOW)
        assert message == replace(FIRST, read=NOW + HOUR)

    def test_they_go_with_the_account(self, store: Store) -> None:
        store.put_user_message(FIRST, NOW)
        store.delete_account("alice")
        store.put_account(make_account("Alice"))
        assert store.list_user_messages("alice", NOW) == []
