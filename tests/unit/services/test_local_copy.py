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
from openrdms.model.change import Kind
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.security.accounts import Accounts, Change
from openrdms.security.audit_log import AuditLog
from openrdms.security.late_records import LateRecords
from openrdms.services.access import Access
from openrdms.services.display_tickets import DisplayTickets
from openrdms.services.live_connections import LiveConnections
from openrdms.services.local_copy import GOOD_SECONDS, MOVED_IN, LocalCopy

NOW = StoppedClock()
EVERYBODY = "D:(A;;CC;;;WD)"
NOBODY = "D:(D;;CC;;;WD)"


class World:
    """ann has pool-1 and may use the pool."""

    def __init__(self, small: SmallDeployment, accounts: Accounts, records: Any) -> None:
        self.small = small
        self.accounts = accounts
        self.records = records
        self.seconds = 1000.0
        log = AuditLog(records, small.path.parent / "audit-head", NOW)
        self.late = LateRecords(log, small.path.parent / "late", NOW)
        self.copy = self.make_copy()

    def make_copy(self) -> LocalCopy:
        access, small = Access(self.records, self.accounts), self.small
        parts = (self.records, access, small.hosts, small.uses, self.late)
        made = LocalCopy(*parts, NOW, clock=lambda: self.seconds)
        small.store.subscribe(made.hear)
        return made

    def change(self, **values: Any) -> None:
        self.small.uses.change(["pool-1"], lambda use: replace(use, **values))

    def set_descriptor(self, text: str) -> None:
        self.small.store.change_collection(
            "pool", lambda collection: replace(collection, security_descriptor=text)
        )

    def make_own(self, user: str = "ann", state: VmState = VmState.RUNNING) -> None:
        """own-1 is that user's, and nobody is in it."""
        self.small.make_collection("own")
        self.small.store.change_collection(
            "own", lambda collection: replace(collection, security_descriptor=EVERYBODY)
        )
        made = self.small.make_desktop("own-1", "own")
        self.small.store.put_desktops([replace(made, user=user, user_domain="")])
        if state is VmState.RUNNING:
            self.small.hosts.get(made.host).start(made.name)
        self.records.away = False
        self.copy.read()
        self.records.away = True

    def connections(self) -> LiveConnections:
        return LiveConnections(self.records, self.small.uses, self.accounts, NOW, copy=self.copy)

    def move_in(self, connections: LiveConnections, ended: list[str]) -> None:
        """ann, who looks at own-1 then."""
        assert self.copy.move_in("own-1", "ann")
        use = self.copy.find("own-1", "ann")
        assert use
        connections.hold(
            desktop=use.name,
            holder=use.holder,
            stay=use.stay,
            account="ann",
            close=lambda: ended.append("ann"),
        )
        assert (ended, connections.count("own-1")) == ([], 1)

    def use(self, name: str = "own-1") -> DesktopUse:
        found = self.small.store.find_use(name)
        assert found
        return found

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
    assert (world.names(), world.copy.is_good()) == ([], False)
    with pytest.raises(errors.RecordsUnavailable):
        world.copy.read()
    assert not world.copy.is_good()
    world.records.away = False
    world.copy.read()
    assert (world.names(), world.copy.is_good()) == (["pool-1"], True)


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


def test_his_own_is_found_though_he_is_not_in_it(world: World) -> None:
    world.make_own()
    assert world.names() == ["own-1", "pool-1"]
    assert world.names("bob") == world.names("olga") == []
    assert not world.copy.move_in("own-1", "bob")
    world.copy.hear(Kind.COLLECTION, ["own"])
    assert world.names() == ["pool-1"]


def test_what_does_not_run_is_not_found(world: World) -> None:
    world.make_own(state=VmState.STOPPED)
    assert world.names() == ["pool-1"]


@pytest.mark.parametrize(
    "change",
    [{"use": Use.WORK}, {"claim": "{JOB}"}, {"use": Use.TAKEN, "holder": "bob"}],
)
def test_what_is_not_free_is_not_found(world: World, change: dict[str, Any]) -> None:
    world.make_own()
    world.small.uses.change(["own-1"], lambda use: replace(use, **change))
    assert world.names() == ["pool-1"]
    world.records.away = False
    world.copy.read()
    assert world.names() == ["pool-1"]


def test_who_has_another_of_the_collection_moves_into_none(world: World) -> None:
    world.make_own()
    world.small.make_desktop("own-2", "own")
    taken = {"use": Use.TAKEN, "holder": "ann"}
    world.small.uses.change(["own-2"], lambda use: replace(use, **taken))
    world.records.away = False
    world.copy.read()
    assert world.names() == ["own-2", "pool-1"]


def test_an_assignment_that_has_changed_is_nobody_s_until_it_is_read(world: World) -> None:
    world.make_own()
    world.small.store.change_desktop("own-1", lambda one: one and replace(one, user="bob"))
    assert (world.names(), world.names("bob")) == (["pool-1"], [])
    world.records.away = False
    world.copy.read()
    assert (world.names(), world.names("bob")) == (["pool-1"], ["own-1"])


def test_who_moves_in_has_it_when_records_are_back(world: World) -> None:
    world.make_own()
    other, connections, ended = world.make_copy(), world.connections(), list[str]()
    world.records.away = False
    other.read()  # another service's
    looking = world.use()
    connections.hold(
        desktop="own-1",
        holder="",
        stay=looking.stay,
        account="olga",
        close=lambda: ended.append("olga"),
        is_presence=False,
        came_first=True,
    )
    world.records.away = True
    assert world.copy.move_in("own-1", "ann")
    assert ended == ["olga"]
    ended.clear()
    assert other.move_in("own-1", "ann")
    world.move_in(connections, ended)
    world.small.uses.announce(["own-1"])  # as when all is read anew
    assert ended == []
    world.records.away = False
    connections.recheck("ann")
    use = world.use()
    assert (use.use, use.holder, use.stay, use.turn) == (Use.TAKEN, "ann", 1, 1)
    other.settle("own-1")
    assert (world.use(), ended, other.has_moved("own-1")) == (use, [], False)
    world.late.write()
    told = [one.who for one in world.small.store.list_audit(0) if one.what == MOVED_IN]
    assert told == ["ann", "ann"]  # each service's


@pytest.mark.parametrize("given", ["assigned", "taken", "claimed", "closed"])
def test_what_is_another_s_by_then_ends(world: World, given: str) -> None:
    world.make_own()
    connections, ended = world.connections(), list[str]()
    world.move_in(connections, ended)
    match given:
        case "assigned":
            world.small.store.change_desktop("own-1", lambda one: one and replace(one, user="bob"))
        case "taken":
            taken = {"use": Use.TAKEN, "holder": "bob"}
            world.small.uses.change(["own-1"], lambda use: replace(use, **taken))
        case "claimed":
            world.small.uses.change(["own-1"], lambda use: replace(use, claim="{JOB}"))
        case "closed":
            world.small.store.change_collection(
                "own", lambda collection: replace(collection, security_descriptor=NOBODY)
            )
    before = world.use()
    world.records.away = False
    connections.recheck("ann")
    assert (ended[:1], world.use()) == (["ann"], before)


def test_who_moved_in_is_unseen_for_a_time_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.make_own()
    connections, ended = world.connections(), list[str]()
    world.move_in(connections, ended)
    connections.recheck("ann")
    assert ended == []
    world.copy.read_at = -1000.0
    monkeypatch.setattr("openrdms.services.live_connections._UNSEEN_SECONDS", 0.0)
    connections.recheck("ann")
    assert ended == ["ann"]
