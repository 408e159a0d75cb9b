"""What every store must do about routing tokens (ports.RdpTokenStore)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from contract.accounts_suite import NOW, make_account
from contract.store_suite import OpenStore
from openrdms.model.rdp_token import RdpToken
from openrdms.ports import Store

HOUR = timedelta(hours=1)
TOKEN = RdpToken("0" * 64, "alice", "Office", NOW, NOW + HOUR)


class RdpTokenStoreSuite:
    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        store = open_store()
        store.put_account(make_account("Alice"))
        store.put_account(make_account("bob", "S-1-5-21-1-2-3-1001"))
        return store

    def test_a_token_comes_back_as_it_was(self, store: Store) -> None:
        store.put_rdp_token(TOKEN, 9)
        assert store.find_rdp_token(TOKEN.secret_hash) == TOKEN
        assert store.find_rdp_token("1" * 64) is None

    def test_expired_ones_go_with_the_next(self, store: Store) -> None:
        store.put_rdp_token(TOKEN, 9)
        later = replace(TOKEN, secret_hash="1" * 64, account="bob", created=NOW + HOUR)
        store.put_rdp_token(later, 9)
        assert store.find_rdp_token(TOKEN.secret_hash) is None

    def test_the_oldest_of_an_account_make_room(self, store: Store) -> None:
        store.put_rdp_token(replace(TOKEN, secret_hash="b" * 64, account="bob"), 2)
        made = [
            replace(TOKEN, secret_hash=str(n) * 64, created=NOW + n * timedelta(minutes=1))
            for n in range(4)
        ]
        for token in made:
            store.put_rdp_token(token, 2)
        kept = [store.find_rdp_token(token.secret_hash) for token in made]
        assert kept == [None, None, *made[2:]]
        assert store.find_rdp_token("b" * 64)

    def test_they_go_when_revoked_and_with_the_account(self, store: Store) -> None:
        of_bob = replace(TOKEN, secret_hash="b" * 64, account="bob")
        for token in (TOKEN, of_bob):
            store.put_rdp_token(token, 9)
        store.delete_rdp_tokens("ALICE")
        assert store.find_rdp_token(TOKEN.secret_hash) is None
        assert store.find_rdp_token(of_bob.secret_hash)
        store.delete_account("bob")
        assert store.find_rdp_token(of_bob.secret_hash) is None
