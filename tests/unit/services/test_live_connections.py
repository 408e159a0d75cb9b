"""Connections to desktops end when nobody may have them any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from fakes.clock import StoppedClock
from fakes.small_deployment import SmallDeployment, open_small_deployment
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.pool_policy import GRACE
from openrdms.security.accounts import Accounts, Change
from openrdms.security.web_sessions import WebSessions
from openrdms.services import live_connections
from openrdms.services.live_connections import LiveConnections


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDeployment]:
    with open_small_deployment(tmp_path) as deployment:
        deployment.make_collection("pool", CollectionType.POOLED)
        deployment.make_desktop("pool-1", "pool")
        yield deployment


@pytest.fixture
def accounts(small: SmallDeployment, tmp_path: Path, clock: StoppedClock) -> Accounts:
    accounts = Accounts(small.store, tmp_path / "nt-hashes", clock)
    accounts.add("ann", Role.USER)
    accounts.add("olga", Role.ADMINISTRATOR)
    return accounts


@pytest.fixture
def connections(
    small: SmallDeployment, accounts: Accounts, clock: StoppedClock
) -> Iterator[LiveConnections]:
    connections = LiveConnections(small.store, small.uses, accounts, clock, period=0.01)
    yield connections
    connections.stop()


@pytest.fixture
def taken(small: SmallDeployment, clock: StoppedClock) -> DesktopUse:
    def take(use: DesktopUse) -> DesktopUse:
        return replace(use, use=Use.TAKEN, holder="ann", turn=use.turn + 1, since=clock())

    return small.uses.change(["pool-1"], take)[0]


class Closed(threading.Event):
    """What a connection's ``close`` is; it may come more than once."""

    def __call__(self) -> None:
        self.set()


def hold(connections: LiveConnections, use: DesktopUse, account: str = "ann") -> Closed:
    closed = Closed()
    connections.hold(
        desktop=use.name, holder=use.holder, stay=use.stay, account=account, close=closed
    )
    return closed


def leave(small: SmallDeployment) -> None:
    small.uses.move(["pool-1"], Use.UNREADY, of=[Use.TAKEN])


def come_back(small: SmallDeployment) -> None:
    small.uses.change(["pool-1"], lambda use: replace(use, turn=use.turn + 1))


@pytest.mark.parametrize("account", ["ann", "olga"], ids=["holder", "over his shoulder"])
def test_it_ends_with_the_stay(
    small: SmallDeployment, connections: LiveConnections, taken: DesktopUse, account: str
) -> None:
    closed = hold(connections, taken, account)
    come_back(small)
    assert not closed.is_set()
    assert connections.count("POOL-1") == 1
    leave(small)
    assert closed.is_set()
    assert connections.count("pool-1") == 0


def test_it_is_closed_before_the_next_user_has_the_desktop(
    small: SmallDeployment, connections: LiveConnections, taken: DesktopUse
) -> None:
    closed = hold(connections, taken)
    told: list[bool] = []
    small.uses.subscribe(lambda _: told.append(closed.is_set()))
    leave(small)
    assert told == [True]


def test_it_is_closed_at_once_when_the_stay_is_over_already(
    small: SmallDeployment, connections: LiveConnections, taken: DesktopUse
) -> None:
    leave(small)
    assert hold(connections, taken).is_set()


@pytest.mark.parametrize(
    "end", [lambda all_: all_.change("ann", Change(enabled=False)), lambda all_: all_.remove("ann")]
)
def test_it_ends_with_the_account(
    connections: LiveConnections,
    accounts: Accounts,
    taken: DesktopUse,
    end: Callable[[Accounts], None],
) -> None:
    his, another = hold(connections, taken), hold(connections, taken, "olga")
    end(accounts)
    assert (his.is_set(), another.is_set()) == (True, False)


def test_it_ends_with_the_browser_session(
    small: SmallDeployment,
    connections: LiveConnections,
    accounts: Accounts,
    clock: StoppedClock,
    taken: DesktopUse,
) -> None:
    sessions = WebSessions(small.store, accounts, clock)
    sessions.subscribe(connections.recheck)
    _, session = sessions.begin(accounts.get("ann"), "127.0.0.1")
    closed = Closed()
    connections.hold(
        desktop="pool-1",
        holder="ann",
        stay=taken.stay,
        account="ann",
        close=closed,
        may_go_on=lambda: sessions.look(session) is not None,
    )
    assert not closed.is_set()
    sessions.end(session)
    assert closed.is_set()


def test_what_nobody_told_is_found(
    small: SmallDeployment, connections: LiveConnections, taken: DesktopUse
) -> None:
    connections.start()
    closed = hold(connections, taken)
    small.store.change_uses(["pool-1"], lambda use: replace(use, use=Use.UNREADY, holder=""))
    assert closed.wait(30)


def test_a_defect_with_one_ends_it_and_the_others_are_looked_at(
    connections: LiveConnections, small: SmallDeployment, taken: DesktopUse
) -> None:
    defects = [Closed(), Closed()]
    asked = Closed()
    for defect in defects:
        connections.hold(
            desktop=taken.name,
            holder=taken.holder,
            stay=taken.stay,
            account="ann",
            close=defect,
            may_go_on=lambda: not asked.is_set() or bool(1 // 0),
        )
    connections.start()
    asked.set()
    for defect in defects:
        assert defect.wait(30)
    last = hold(connections, taken)
    small.store.change_uses([taken.name], lambda use: replace(use, use=Use.UNREADY, holder=""))
    assert last.wait(30)


def test_who_went_is_forgotten(
    small: SmallDeployment, connections: LiveConnections, taken: DesktopUse
) -> None:
    closed = Closed()
    forget = connections.hold(
        desktop="pool-1", holder="ann", stay=taken.stay, account="ann", close=closed
    )
    forget()
    forget()
    leave(small)
    assert not closed.is_set()


def test_who_looks_at_it_keeps_it(
    small: SmallDeployment, connections: LiveConnections, clock: StoppedClock, taken: DesktopUse
) -> None:
    clock.move(GRACE)
    hold(connections, taken)
    use = small.store.find_use("pool-1")
    assert use and (use.since, use.stay) == (clock(), taken.stay)


@pytest.mark.parametrize(("account", "ends"), [("ann", False), ("olga", True)])
def test_who_looks_on_must_ask_again_when_the_user_logs_on(
    small: SmallDeployment,
    connections: LiveConnections,
    taken: DesktopUse,
    account: str,
    ends: bool,
) -> None:
    """Nobody has told the user of him."""
    closed = Closed()
    hold_as = partial(
        connections.hold, desktop="pool-1", holder="ann", stay=taken.stay, account=account
    )
    hold_as(close=closed, is_presence=account == "ann", came_first=account != "ann")
    small.uses.change(["pool-1"], lambda use: replace(use, seen=True))
    assert closed.is_set() is ends
    again = Closed()
    hold_as(close=again, is_presence=False)
    small.uses.change(["pool-1"], lambda use: replace(use, turn=use.turn + 1))
    assert not again.is_set()


def test_while_records_are_away_it_stays_and_nobody_new_comes(
    small: SmallDeployment,
    connections: LiveConnections,
    taken: DesktopUse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = hold(connections, taken)
    asked = threading.Semaphore(0)

    def find_use(_name: str) -> DesktopUse:
        asked.release()
        raise errors.RecordsUnavailable("away")

    monkeypatch.setattr(small.store, "find_use", find_use)
    connections.start()
    for _ in range(3):
        assert asked.acquire(timeout=60)
    assert not closed.is_set()
    assert hold(connections, taken).wait(60)
    monkeypatch.setattr(live_connections, "_UNSEEN_SECONDS", 0.0)
    assert closed.wait(60)
