"""Users who ask at two services of one deployment: one line, each desktop given once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from fakes.brokering_rig import BrokeringRig, open_brokering_rig
from live.service import until
from openrdms.adapters import sql
from openrdms.model.change import Kind
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import Use
from openrdms.security.accounts import Change
from openrdms.services.brokering import Connection, User
from openrdms.services.live_connections import LiveConnections
from openrdms.services.others import Others

PEOPLE = ("ann", "bob", "eve", "zoe")


class Service(NamedTuple):
    rig: BrokeringRig
    connections: LiveConnections

    def user(self, name: str) -> User:
        return self.rig.brokering.find_user(name, "CORP")


@pytest.fixture
def services(tmp_path: Path, postgresql_records: str) -> Iterator[list[Service]]:
    """Two, which hear of each other; everybody is known to both."""
    with ExitStack() as ends:
        opened = [_open(ends, tmp_path, postgresql_records, letter) for letter in "ab"]
        first = opened[0].rig
        first.add_collection("pool", CollectionType.POOLED)
        for name in PEOPLE:
            first.add_user(name)
        for service in opened:
            until("everybody is known", lambda one=service: all(map(one.rig.accounts.find, PEOPLE)))
            until("it has looked at its desktops", lambda one=service: _is_ready(one))
        yield opened


def _is_ready(service: Service) -> bool:
    return service.rig.watch.is_checked("pool")


def _open(ends: ExitStack, directory: Path, records: str, letter: str) -> Service:
    def end(why: str) -> None:
        raise AssertionError(why)

    store, members = sql.open_shared_store(records, letter * 16, end)
    ends.callback(members.close)
    members.join(letter, "", "1")
    rig = ends.enter_context(open_brokering_rig(directory, store=store, members=members))
    connections = LiveConnections(store, rig.uses, rig.accounts, rig.clock)
    takers = {
        Kind.ACCOUNT: rig.accounts.refresh,
        Kind.DESKTOP: rig.uses.hear,
        Kind.LINE: rig.brokering.hear_lines,
    }
    others = Others(store, takers, [rig.uses.hear_all])
    others.start()
    ends.callback(others.close)
    return Service(rig, connections)


def test_one_spare_has_one_winner(services: list[Service]) -> None:
    services[0].rig.add_ready("vd-1")
    together = threading.Barrier(len(PEOPLE))

    def connect(number: int) -> object:
        service = services[number % 2]
        user = service.user(PEOPLE[number])
        together.wait()
        return service.rig.brokering.connect(user, "pool")

    with ThreadPoolExecutor(len(PEOPLE)) as threads:
        answers = list(threads.map(connect, range(len(PEOPLE))))
    assert len([one for one in answers if isinstance(one, Connection)]) == 1
    waiting = [
        [service.rig.brokering.is_waiting(service.user(name), "pool") for name in PEOPLE]
        for service in services
    ]
    assert waiting[0] == waiting[1]
    assert sum(waiting[0]) == len(PEOPLE) - 1


def test_first_come_first_served_whoever_makes_it_ready(services: list[Service]) -> None:
    one, other = services
    asked = [(other, "ann"), (one, "bob"), (other, "eve")]
    for position, (service, name) in enumerate(asked, 1):
        wait = service.rig.brokering.connect(service.user(name), "pool")
        assert not isinstance(wait, Connection)
        assert wait.position == position
    until("its pool knows", lambda: ("pool", 3) in one.rig.pools.waiting)
    with ThreadPoolExecutor(1) as threads:
        user = other.user("ann")
        answer = threads.submit(other.rig.brokering.connect, user, "pool", 60)
        one.rig.add_ready("vd-1")
        got = answer.result(60)
    assert isinstance(got, Connection)
    assert got.desktop == "vd-1"
    one.rig.add_ready("vd-2")
    until("it is given", lambda: one.rig.use("vd-2").holder == "bob")
    other.rig.add_ready("vd-3")
    until("it is given", lambda: one.rig.use("vd-3").holder == "eve")
    until(
        "nobody waits",
        lambda: {one.rig.place.store.count_places("pool") for one in services} == {0},
    )


def test_what_is_open_elsewhere_ends_when_the_desktop_goes_to_another(
    services: list[Service],
) -> None:
    one, other = services
    one.rig.add_ready("vd-1")
    got = one.rig.connect(one.user("ann"))
    closed = threading.Event()
    held = {"desktop": "vd-1", "holder": "ann", "stay": got.stay, "account": "ann"}
    other.connections.hold(**held, close=closed.set)  # type: ignore[arg-type]
    assert not closed.is_set()
    one.rig.make("vd-1", Use.READY)
    one.rig.connect(one.user("bob"))
    assert closed.wait(60)


def test_who_is_disabled_at_one_service_is_out_at_the_other(services: list[Service]) -> None:
    one, other = services
    one.rig.accounts.change("ann", Change(password="a new password"))
    until("the password counts", lambda: other.rig.accounts.verify("ann", "a new password", "here"))
    one.rig.add_ready("vd-1")
    got = one.rig.connect(one.user("ann"))
    closed = threading.Event()
    held = {"desktop": "vd-1", "holder": "ann", "stay": got.stay, "account": "ann"}
    other.connections.hold(**held, close=closed.set)  # type: ignore[arg-type]
    one.rig.accounts.change("ann", Change(enabled=False))
    assert closed.wait(60)
    assert other.rig.accounts.find("ann") is None
    assert other.rig.accounts.verify("ann", "a new password", "here") is None
    one.rig.accounts.remove("bob")
    until("he is gone", lambda: other.rig.accounts.look("bob") is None)
