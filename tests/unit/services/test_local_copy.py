"""Who has which desktop is known while the records are away, and nothing that was taken away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import StoppedClock
from fakes.leaving_records import LeavingRecords
from fakes.small_deployment import SmallDeployment, open_small_deployment
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.security.accounts import Accounts, Change
from openrdms.services.access import Access
from openrdms.services.display_tickets import DisplayTickets
from openrdms.services.live_connections import LiveConnections
from openrdms.services.local_copy import GOOD_SECONDS, LocalCopy

EVERYBODY = "D:(A;;CC;;;WD)"
NOBODY = "D:(D;;CC;;;WD)"


class World:
    """ann has pool-1 and may use the pool."""

    def __init__(self, small: SmallDeployment, accounts: Accounts, records: Any) -> None:
        self.small = small
        self.accounts = accounts
        self.records = records
        self.seconds = 1000.0
        access = Access(small.store, accounts)
        self.copy = LocalCopy(records, access, clock=lambda: self.seconds)
        small.store.subscribe(self.copy.hear)

    def change(self, **values: Any) -> None:
        self.small.uses.change(["pool-1"], lambda use: replace(use, **values))

    def set_descriptor(self, text: str) -> None:
        self.small.store.change_collection(
            "pool", lambda collection: replace(collection, security_descriptor=text)
        )

    def names(self, account: str = "ann") -> list[str]:
        return [use.name for use in self.copy.list(account)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_small_deployment(tmp_path) as small:
        small.make_collection("pool", CollectionType.POOLED)
        small.make_desktop("pool-1", "pool")
        accounts = Accounts(small.store, tmp_path / "nt-hashes", StoppedClock())
        accounts.add("olga", Role.ADMINISTRATOR)
        for name in ("ann", "bob"):
            accounts.add(name, Role.USER)
        made = World(small, accounts, LeavingRecords(small.store))
        made.set_descriptor(EVERYBODY)
        made.change(use=Use.TAKEN, holder="ann")
        made.copy.read()
        made.records.away = True
        yield made


def test_what_somebody_has_is_his(world: World) -> None:
    assert world.names("ANN") == ["pool-1"]
    assert world.names("bob") == world.names("nobody") == []
    assert world.copy.find("POOL-1", "ann")
    assert world.copy.find("pool-1", "bob") is None
    assert world.copy.find("pool-2", "ann") is None


@pytest.mark.parametrize("change", [{"holder": "bob"}, {"use": Use.UNREADY, "holder": ""}])
def test_what_was_taken_from_him_is_not(world: World, change: dict[str, Any]) -> None:
    world.change(**change)
    assert world.names() == world.names("bob") == []
    world.records.away = False
    world.copy.read()
    assert (world.names(), world.names("bob")) == ([], ["pool-1"] if len(change) == 1 else [])


def test_who_may_use_the_collection_no_more_has_nothing(world: World) -> None:
    world.set_descriptor(NOBODY)
    assert world.names() == []
    world.records.away = False
    world.copy.read()
    assert world.names() == []


def test_who_is_disabled_has_nothing(world: World) -> None:
    world.accounts.change("ann", Change(enabled=False))
    assert world.names() == []


def test_what_changes_while_it_is_read_is_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.records.away = False
    read = world.small.store.list_uses

    def list_uses(**how: Any) -> list[DesktopUse]:
        found = read(**how)
        monkeypatch.undo()
        world.change(holder="bob")
        return found

    monkeypatch.setattr(world.small.store, "list_uses", list_uses)
    world.copy.read()
    assert world.names() == world.names("bob") == []


def test_it_is_good_for_a_time(world: World) -> None:
    world.seconds += GOOD_SECONDS
    assert world.names() == ["pool-1"]
    world.seconds += 1
    assert world.names() == []


def test_only_what_has_changed_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.small.make_desktop("pool-2", "pool")
    world.records.away = False
    world.copy.read()
    asked: list[list[str]] = []
    read = world.small.store.list_uses

    def list_uses(*, names: list[str], **how: Any) -> list[DesktopUse]:
        asked.append(names)
        return read(names=names, **how)

    monkeypatch.setattr(world.small.store, "list_uses", list_uses)
    world.small.uses.change(["pool-2"], lambda use: replace(use, use=Use.TAKEN, holder="bob"))
    world.copy.read()
    world.copy.read()
    assert asked == [["pool-2"], []]
    assert (world.names(), world.names("bob")) == (["pool-1"], ["pool-2"])


def test_what_could_not_be_read_is_read_later(world: World) -> None:
    world.change(holder="bob")
    with pytest.raises(errors.RecordsUnavailable):
        world.copy.read()
    assert world.names() == world.names("bob") == []
    world.records.away = False
    world.copy.read()
    assert world.names("bob") == ["pool-1"]


def test_nothing_is_known_when_changes_were_missed(world: World) -> None:
    world.copy.forget()
    assert world.names() == []
    world.records.away = False
    world.copy.read()
    assert world.names() == ["pool-1"]


def test_what_is_read_while_changes_are_missed_is_not_trusted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.records.away = False
    read = world.small.store.list_collections

    def list_collections() -> Any:
        world.copy.forget()
        monkeypatch.undo()
        return read()

    monkeypatch.setattr(world.small.store, "list_collections", list_collections)
    world.copy.read()
    assert world.names() == []
    world.copy.read()
    assert world.names() == ["pool-1"]


def test_a_display_of_his_own_and_no_other_is_opened(world: World) -> None:
    clock = StoppedClock()
    tickets = DisplayTickets(world.records, world.small.hosts, clock, copy=world.copy)
    assert tickets.is_holder("ann", "pool-1")
    for ask in (
        lambda: tickets.is_holder("bob", "pool-1"),
        lambda: tickets.issue("bob", "pool-1"),
        lambda: tickets.redeem("no ticket", "ann"),
    ):
        with pytest.raises(errors.RecordsUnavailable):
            ask()
    secret = tickets.issue("ann", "pool-1")
    ticket = tickets.redeem(secret, "ann")
    assert (ticket.desktop, ticket.holder) == ("pool-1", "ann")
    with pytest.raises(errors.RecordsUnavailable):  # it was good once
        tickets.redeem(secret, "ann")


def test_what_he_opens_is_let_in_and_ends_when_it_is_another_s(world: World) -> None:
    ended: list[str] = []
    connections = LiveConnections(
        world.records, world.small.uses, world.accounts, StoppedClock(), copy=world.copy
    )

    def hold(stay: int, account: str) -> None:
        connections.hold(
            desktop="pool-1",
            holder="ann",
            stay=stay,
            account=account,
            close=lambda: ended.append(account),
        )

    use = world.copy.find("pool-1", "ann")
    assert use
    hold(use.stay, "bob")
    hold(use.stay + 1, "ann")
    assert ended == ["bob", "ann"]
    hold(use.stay, "ann")
    assert (ended, connections.count("pool-1")) == (["bob", "ann"], 1)
    world.records.away = False
    world.change(holder="bob")
    assert ended == ["bob", "ann", "ann"]
