"""What a store promises about tickets to displays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from openrdms.model.account import Account, Role
from openrdms.model.display_ticket import DisplayTicket, Mode
from openrdms.ports import Store

THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_ticket(secret_hash: str, expires: datetime = THEN) -> DisplayTicket:
    return DisplayTicket(secret_hash, "Ann", "pool-1", Mode.VIEW, "bob", 7, True, expires)


class DisplayTicketSuite:
    @pytest.fixture
    def store(self) -> Store:
        """One without records."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _account(self, store: Store) -> None:
        sid = store.account_sid("Ann")
        account = Account("Ann", sid, "", Role.USER, (), False, True, False, THEN, THEN)
        store.put_account(account)

    def test_a_ticket_is_taken_once(self, store: Store) -> None:
        store.put_display_ticket(make_ticket("one"))
        store.put_display_ticket(make_ticket("two"))
        assert store.take_display_ticket("one") == make_ticket("one")
        assert store.take_display_ticket("one") is None
        assert store.take_display_ticket("two") == make_ticket("two")

    def test_one_of_many_gets_it(self, store: Store) -> None:
        store.put_display_ticket(make_ticket("one"))
        with ThreadPoolExecutor(8) as pool:
            taken = [*pool.map(lambda _: store.take_display_ticket("one"), range(8))]
        assert [ticket for ticket in taken if ticket] == [make_ticket("one")]

    def test_expired_ones_are_deleted(self, store: Store) -> None:
        later = THEN + timedelta(seconds=1)
        store.put_display_ticket(make_ticket("one"))
        store.put_display_ticket(make_ticket("two", later))
        store.delete_display_tickets(THEN)
        assert store.take_display_ticket("one") is None
        assert store.take_display_ticket("two") == make_ticket("two", later)

    def test_they_go_with_the_account(self, store: Store) -> None:
        store.put_display_ticket(make_ticket("one"))
        store.delete_account("ANN")
        assert store.take_display_ticket("one") is None
