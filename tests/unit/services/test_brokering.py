"""Which desktop a user gets, and what he is told while he gets none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.brokering_rig import CORP, BrokeringRig, open_brokering_rig
from fakes.small_deployment import HOST1, HOST2
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import Use
from openrdms.model.host import VmState
from openrdms.model.reason import ReasonCode, Wait, parse_reason
from openrdms.services.brokering import Connection, How, Outlook, Refused
from openrdms.services.desktops import Desktops

POOLED = CollectionType.POOLED
MANUAL, AUTO = CollectionType.MANUAL_PERSONAL, CollectionType.AUTO_PERSONAL


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BrokeringRig]:
    with open_brokering_rig(tmp_path, "start_ms=30", "boot_ms=30") as rig:
        rig.add_collection("pool", POOLED)
        yield rig


def wait_of(answer: Connection | Wait) -> Wait:
    assert isinstance(answer, Wait), answer
    return answer


def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_spare_is_taken_and_found_again(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    ann = rig.add_user("ann")
    assert rig.connect(ann) == Connection("vd-1", HOST1, How.SPARE, stay=1)
    use = rig.use("vd-1")
    assert (use.use, use.holder, use.asked, use.turn) == (Use.TAKEN, "ann", True, 1)
    until(lambda: isinstance(rig.brokering.connect(ann, "pool"), Connection))
    rig.uses.change(["vd-1"], lambda one: replace(one, seen=True))
    assert rig.connect(ann) == Connection("vd-1", HOST1, How.OWN, stay=1)
    assert rig.use("vd-1").turn > use.turn


def test_of_two_desktops_he_returns_to_the_one_that_he_was_given(rig: BrokeringRig) -> None:
    rig.add_ready("vd-2")
    ann = rig.add_user("ann")
    rig.connect(ann)
    rig.add_ready("vd-1")
    rig.make("vd-1", Use.TAKEN, holder="CORP\\ann", seen=True)
    rig.uses.change(["vd-2"], lambda one: replace(one, seen=True))
    assert rig.connect(ann).desktop == "vd-2"


@pytest.mark.parametrize("logged_on", [False, True])
def test_an_account_has_one_desktop_whatever_domain_it_names(
    rig: BrokeringRig, *, logged_on: bool
) -> None:
    rig.add_ready("vd-1")
    rig.add_ready("vd-2")
    if logged_on:
        rig.make("vd-1", Use.TAKEN, holder="CORP\\ann", seen=True)
    first = rig.connect(rig.add_user("ann")).desktop
    for domain in ("LAB", "", "corp"):
        assert rig.connect(rig.brokering.find_user("ANN", domain)).desktop == first


@pytest.mark.parametrize("name", [HOST1, HOST1.partition(".")[0]])
def test_nothing_on_a_host_that_is_away_is_handed_out(rig: BrokeringRig, name: str) -> None:
    """Whichever name records have for it."""
    desktop = rig.add_ready("vd-1")
    rig.place.store.put_desktops([replace(desktop, host=name)])
    user = rig.add_user("ann")
    simulator.set_fault(rig.place.path, HOST1, fault="down")
    rig.health.note_failure(HOST1, errors.HostUnavailable("away"))
    rig.pools.usual = 60.0
    looked = rig.brokering.look(user, "pool").wait
    told = wait_of(rig.brokering.connect(user, "pool"))
    for wait in (looked, told):
        assert wait and (wait.code, wait.words) == (ReasonCode.HOST_AWAY, "away")
        assert (wait.position, wait.seconds) == (1, None)
    assert rig.use("vd-1").use is Use.READY
    rig.add_ready("vd-2", host=HOST2)
    rig.make("vd-2", Use.PREPARING)
    assert wait_of(rig.brokering.connect(user, "pool")).code is ReasonCode.NO_DESKTOP_READY
    rig.make("vd-2", Use.TAKEN, holder="bob")
    rig.make("vd-1", Use.QUARANTINED)
    assert wait_of(rig.brokering.connect(user, "pool")).code is ReasonCode.NO_DESKTOP_LEFT


def test_an_account_has_one_place_in_line_whatever_domain_it_names(rig: BrokeringRig) -> None:
    rig.add_user("ann")
    for domain in ("LAB", "", "CORP"):
        waiting = wait_of(rig.brokering.connect(rig.brokering.find_user("ann", domain), "pool"))
        assert (waiting.position, rig.pools.waiting) == (1, [("pool", 1)])


def test_an_account_has_one_personal_desktop_whatever_domain_it_names(rig: BrokeringRig) -> None:
    rig.add_collection("auto", CollectionType.AUTO_PERSONAL)
    for name in ("my-1", "my-2"):
        rig.add_ready(name, "auto")
    rig.add_user("ann")
    given = {
        rig.connect(rig.brokering.find_user("ann", domain), "auto").desktop
        for domain in ("LAB", "", "CORP")
    }
    assert len(given) == 1


def test_who_just_logged_on_is_brought_back_to_it(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.add_ready("vd-2")
    rig.make("vd-2", Use.TAKEN, holder="CORP\\ann", seen=True)
    assert rig.connect(rig.add_user("ann")) == Connection("vd-2", HOST1, How.OWN, stay=2)
    assert (rig.use("vd-2").asked, rig.use("vd-2").holder) == (True, "ann")


def test_what_was_saved_of_his_desktop_goes_on(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    ann = rig.add_user("ann")
    rig.connect(ann)
    simulator.log_on(rig.place.path, HOST1, "vd-1", "ann")
    rig.uses.change(["vd-1"], lambda one: replace(one, seen=True))
    rig.place.hosts.get(HOST1).save("vd-1")
    waiting = wait_of(rig.brokering.connect(ann, "pool"))
    assert waiting.code is ReasonCode.DESKTOP_STARTING
    begin = time.monotonic()
    assert rig.connect(ann, wait=20).desktop == "vd-1"
    assert time.monotonic() - begin < 15  # heard of, not asked for again
    vm = rig.place.hosts.get(HOST1).find_vm("vd-1")
    assert vm and vm.state is VmState.RUNNING


def test_a_saved_spare_is_resumed(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.place.hosts.get(HOST1).save("vd-1")
    rig.uses.change(["vd-1"], lambda one: replace(one, saved=True))
    ann = rig.add_user("ann")
    assert rig.connect(ann, wait=10) == Connection("vd-1", HOST1, How.SPARE, stay=1)
    assert not rig.use("vd-1").saved


def test_a_host_that_is_away_gives_nothing(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.add_ready("vd-2", host=HOST2)
    ann, bob = rig.add_user("ann"), rig.add_user("bob")
    rig.connect(ann)
    simulator.set_fault(rig.place.path, HOST1, fault="down")
    waiting = wait_of(rig.brokering.connect(ann, "pool"))
    assert waiting.code is ReasonCode.HOST_AWAY
    rig.add_ready("vd-0", host=HOST2)
    rig.uses.move(["vd-0"], Use.QUARANTINED, of=[Use.READY])
    assert rig.connect(bob).desktop == "vd-2"
    assert wait_of(rig.brokering.connect(rig.add_user("eve"), "pool")).position == 1


def test_a_host_that_the_service_has_no_more_gives_nothing(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1", host=HOST2)
    rig.add_ready("vd-2", host=HOST1)
    rig.place.hosts.give_up(rig.place.hosts.get(HOST2))
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(rig.connect, rig.add_user("ann"))
        assert answer.result(10).desktop == "vd-2"
    assert parse_reason(rig.use("vd-1").reason)[0] == ReasonCode.VM_LOST
    assert rig.use("vd-1").use is Use.QUARANTINED


def test_who_has_a_desktop_on_a_host_that_is_gone_gets_another(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1", host=HOST2)
    ann = rig.add_user("ann")
    rig.connect(ann)
    rig.place.hosts.give_up(rig.place.hosts.get(HOST2))
    rig.watch._look_soon("vd-1")  # as at the start of a service without that host
    until(lambda: rig.use("vd-1").use is Use.QUARANTINED)
    rig.add_ready("vd-2", host=HOST1)
    assert rig.connect(ann).desktop == "vd-2"


def test_places_in_line_are_kept_and_served_in_order(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.make("vd-1", Use.PREPARING)
    ann, bob, eve = (rig.add_user(name) for name in ("ann", "bob", "eve"))
    positions = [wait_of(rig.brokering.connect(one, "pool")).position for one in (ann, bob, ann)]
    assert positions == [1, 2, 1]
    assert rig.pools.waiting == [("pool", 1), ("pool", 2)]
    waiting = wait_of(rig.brokering.connect(bob, "pool"))
    assert waiting.code is ReasonCode.NO_DESKTOP_READY
    rig.make("vd-1", Use.READY)
    until(lambda: rig.use("vd-1").use is Use.TAKEN)
    assert rig.use("vd-1").holder == "ann"
    # who was served leaves the line a moment later
    until(lambda: wait_of(rig.brokering.connect(eve, "pool")).position == 2)
    until(lambda: wait_of(rig.brokering.connect(bob, "pool")).position == 1)


def test_estimates_hang_on_what_is_under_way(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.make("vd-1", Use.PREPARING)
    ann, bob = rig.add_user("ann"), rig.add_user("bob")
    assert wait_of(rig.brokering.connect(ann, "pool")).seconds is None
    rig.pools.usual = 60.0
    estimates = [wait_of(rig.brokering.connect(one, "pool")).seconds for one in (ann, bob)]
    assert [round(seconds or 0, -1) for seconds in estimates] == [60, 120]


def test_a_pool_that_has_stopped_says_so(rig: BrokeringRig) -> None:
    rig.pools.words = "5 preparations in a row have failed"
    waiting = wait_of(rig.brokering.connect(rig.add_user("ann"), "pool"))
    assert (waiting.code, waiting.words) == (ReasonCode.POOL_STOPPED, rig.pools.words)


def test_who_is_done_gives_back_what_he_has(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    ann, bob = rig.add_user("ann"), rig.add_user("bob")
    rig.connect(ann)
    rig.brokering.connect(bob, "pool")
    simulator.log_on(rig.place.path, HOST1, "vd-1", "ann")
    rig.brokering.release(bob, "pool")
    assert rig.pools.waiting == [("pool", 1), ("pool", 0)]
    rig.brokering.release(ann, "pool")
    assert rig.place.hosts.get(HOST1).guest("vd-1").list_sessions(5) == []
    assert rig.use("vd-1").use is Use.UNREADY
    rig.brokering.release(ann, "pool")


def test_when_all_are_taken_none_is_left(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.connect(rig.add_user("ann"))
    waiting = wait_of(rig.brokering.connect(rig.add_user("bob"), "pool"))
    assert (waiting.code, waiting.position) == (ReasonCode.NO_DESKTOP_LEFT, 1)


def test_a_blocking_call_is_woken(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.make("vd-1", Use.PREPARING)
    ann = rig.add_user("ann")
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(rig.connect, ann, wait=20)
        until(lambda: rig.pools.waiting)
        begin = time.monotonic()
        rig.make("vd-1", Use.READY)
        assert asked.result(30).desktop == "vd-1"
        assert time.monotonic() - begin < 15


def test_who_may_not_is_told_why(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    rig.accounts.add("mallory", Role.USER)
    with pytest.raises(Refused, match="may not use") as refusal:
        rig.brokering.connect(rig.brokering.find_user("mallory", CORP), "pool")
    assert refusal.value.reason is ReasonCode.NO_ACCESS
    with pytest.raises(errors.NotFound, match="no collection 'nowhere'"):
        rig.brokering.connect(rig.add_user("ann"), "nowhere")
    with pytest.raises(errors.NotFound):
        rig.brokering.find_user("nobody", CORP)


def test_the_last_desktop_has_one_winner(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    users = [rig.add_user(f"user{number}") for number in range(16)]
    ready = threading.Barrier(len(users))

    def connect(number: int) -> Connection | Wait:
        ready.wait()
        return rig.brokering.connect(users[number], "pool")

    with ThreadPoolExecutor(len(users)) as threads:
        answers = [*threads.map(connect, range(len(users)))]
    winners = [one for one in answers if isinstance(one, Connection)]
    assert [one.desktop for one in winners] == ["vd-1"]
    positions = sorted(one.position or 0 for one in answers if isinstance(one, Wait))
    assert len(positions) == 15


def test_one_user_in_many_threads_gets_one_desktop(rig: BrokeringRig) -> None:
    for number in range(8):
        rig.add_ready(f"vd-{number}")
    ann = rig.add_user("ann")
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda _: rig.brokering.connect(ann, "pool"), range(8))]
    assert len({one.desktop for one in answers if isinstance(one, Connection)}) == 1
    assert len(rig.place.store.list_uses("pool", use=Use.TAKEN)) == 1


def test_a_touched_spare_is_not_handed_out(
    rig: BrokeringRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator.SimulatorHost, "tells_sessions", False)
    rig.add_ready("vd-1")
    rig.add_ready("vd-2")
    simulator.log_on(rig.place.path, HOST1, "vd-1", "stranger")
    assert rig.connect(rig.add_user("ann")).desktop == "vd-2"
    use = rig.use("vd-1")
    assert (use.use, use.holder.partition("\\")[2], use.asked) == (Use.TAKEN, "stranger", False)


def test_manual_desktops_are_for_those_they_were_assigned_to(rig: BrokeringRig) -> None:
    rig.add_collection("own", MANUAL)
    desktop = rig.place.make_desktop("my-1", "own")
    ann = rig.add_user("ann")
    words = r"no desktop of 'own' is assigned to CORP\\ann: only an administrator can do that"
    with pytest.raises(Refused, match=words) as refusal:
        rig.brokering.connect(ann, "own")
    assert refusal.value.reason is ReasonCode.NOT_ASSIGNED
    assert not rig.brokering.is_waiting(ann, "own")
    rig.place.store.put_desktops([replace(desktop, user="ann", user_domain="corp")])
    assert wait_of(rig.brokering.connect(ann, "own")).code is ReasonCode.DESKTOP_STARTING
    assert rig.connect(ann, "own", wait=10) == Connection("my-1", HOST1, How.ASSIGNED, stay=1)
    assert rig.use("my-1").use is Use.TAKEN


def test_what_keeps_the_owner_out_is_said(rig: BrokeringRig) -> None:
    rig.add_collection("own", MANUAL)
    desktop = rig.place.make_desktop("my-1", "own")
    rig.place.store.put_desktops([replace(desktop, user="ann", user_domain="CORP")])
    ann = rig.add_user("ann")
    for use, code, values in (
        (Use.WORK, ReasonCode.DESKTOP_IN_WORK, {"claim": "{job}"}),
        (Use.TAKEN, ReasonCode.USER_LOGGED_ON, {"holder": "CORP\\bob", "claim": ""}),
        (Use.QUARANTINED, ReasonCode.VM_LOST, {"reason": "VmLost: it is gone"}),
    ):
        rig.make("my-1", use, **values)
        assert wait_of(rig.brokering.connect(ann, "own")).code is code
    rig.make("my-1", Use.TAKEN, holder="MY-1\\Ann", reason="")  # as the guest names her
    assert wait_of(rig.brokering.connect(ann, "own")).code is ReasonCode.DESKTOP_STARTING
    with ThreadPoolExecutor(1) as thread:
        rig.make("my-1", Use.TAKEN, holder="CORP\\bob")
        asked = thread.submit(rig.connect, ann, "own", 20)
        time.sleep(0.2)
        rig.make("my-1", Use.UNREADY)
        assert asked.result(30).desktop == "my-1"


def test_the_first_connection_assigns_a_free_desktop(rig: BrokeringRig) -> None:
    rig.add_collection("own", AUTO)
    for number in (1, 2):
        rig.add_ready(f"my-{number}", "own")
    users = [rig.add_user(f"user{number}") for number in range(12)]
    ready = threading.Barrier(2 * len(users))

    def connect(number: int) -> Connection | Wait:
        ready.wait()
        return rig.brokering.connect(users[number // 2], "own", 10 if number < 0 else 0)

    with ThreadPoolExecutor(2 * len(users)) as threads:
        answers = [*threads.map(connect, range(2 * len(users)))]
    owners = {desktop.name: desktop.user for desktop in rig.place.store.list_desktops("own")}
    assert len(set(owners.values())) == 2
    for user in users:
        if user.name in owners.values():
            assert owners[rig.connect(user, "own", 10).desktop] == user.name
        else:
            answer = wait_of(rig.brokering.connect(user, "own"))
            assert answer.code is ReasonCode.NO_DESKTOP_LEFT
    connected = {one.desktop for one in answers if isinstance(one, Connection)}
    assert connected <= set(owners)


def test_personal_desktops_have_a_line(rig: BrokeringRig) -> None:
    """What is made, or taken from its user, goes to who waits longest; nobody asks for it."""
    rig.add_collection("own", AUTO)
    rig.place.make_desktop("my-1", "own")
    owner, *users = [rig.add_user(name) for name in ("dot", "ann", "bob", "eve")]
    assert rig.connect(owner, "own", 30).desktop == "my-1"
    heard: list[str] = []
    told = {user.holder for user in users}
    rig.brokering.subscribe(
        lambda holder: heard.append(holder) if holder in told else None, lambda _collection: None
    )
    for position, user in enumerate(users, 1):
        looked = rig.brokering.look(user, "own")
        assert (looked.wait and looked.wait.position, looked.is_waiting) == (position, False)
        wait = wait_of(rig.brokering.connect(user, "own"))
        assert (wait.code, wait.position) == (ReasonCode.NO_DESKTOP_LEFT, position)
        assert rig.brokering.look(user, "own").is_waiting
    assert not heard
    rig.place.make_desktop("my-2", "own")
    rig.uses.announce(["my-2"])  # as a job does at its end
    until(lambda: heard == ["ann"])
    assert rig.brokering.look(users[0], "own") == Outlook("my-2")
    # who was served leaves the line a moment after he is told
    until(lambda: wait_of(rig.brokering.connect(users[1], "own")).position == 1)
    rig.make("my-1", Use.UNREADY)
    Desktops(
        rig.place.store, rig.place.hosts, rig.health, rig.place.run_states(), rig.uses
    ).unassign_user("my-1")
    until(lambda: heard[1:] == ["bob"])
    until(lambda: wait_of(rig.brokering.connect(users[2], "own")).position == 1)
    assert wait_of(rig.brokering.connect(owner, "own")).position == 2
    assert rig.connect(users[1], "own", 30).desktop == "my-1"
    assert rig.connect(users[0], "own", 30).desktop == "my-2"


def test_who_waits_in_a_call_gets_the_next_personal_desktop(rig: BrokeringRig) -> None:
    rig.add_collection("own", AUTO)
    ann, bob = rig.add_user("ann"), rig.add_user("bob")
    with ThreadPoolExecutor(2) as threads:
        asked = []
        for count, user in enumerate((ann, bob), 1):
            asked.append(threads.submit(rig.connect, user, "own", 60))
            until(lambda count=count: rig.pools.waiting[-1:] == [("own", count)])
        for name in ("my-1", "my-2"):
            rig.place.make_desktop(name, "own")
            rig.uses.announce([name])
        assert [one.result(60).desktop for one in asked] == ["my-1", "my-2"]
    until(lambda: rig.pools.waiting[-1] == ("own", 0))


def test_who_has_a_personal_desktop_waits_in_no_line(rig: BrokeringRig) -> None:
    """Whatever domain it was assigned under, and whoever waits."""
    rig.add_collection("own", AUTO)
    ann, bob = rig.add_user("ann"), rig.add_user("bob")
    wait_of(rig.brokering.connect(bob, "own"))
    desktop = rig.place.make_desktop("my-1", "own")
    rig.place.store.put_desktops([replace(desktop, user="ann", user_domain="LAB")])
    assert rig.connect(ann, "own", 30).desktop == "my-1"
    assert wait_of(rig.brokering.connect(bob, "own")).position == 1


def test_a_look_tells_whether_one_is_free(rig: BrokeringRig) -> None:
    rig.add_collection("own", AUTO)
    desktop = rig.add_ready("my-1", "own")
    ann, bob = rig.add_user("ann"), rig.add_user("bob")
    assert rig.brokering.look(ann, "own") == Outlook()
    rig.place.store.put_desktops([replace(desktop, user="bob", user_domain="LAB")])
    wait = rig.brokering.look(ann, "own").wait
    assert wait and wait.code is ReasonCode.NO_DESKTOP_LEFT
    assert rig.brokering.look(bob, "own") == Outlook("my-1")
    rig.add_ready("my-2", "own")
    simulator.set_fault(rig.place.path, HOST1, fault="down")
    rig.health.note_failure(HOST1, errors.HostUnavailable("away"))
    wait = rig.brokering.look(ann, "own").wait
    assert wait and (wait.code, wait.words) == (ReasonCode.HOST_AWAY, "away")
    assert wait_of(rig.brokering.connect(ann, "own")).code is ReasonCode.HOST_AWAY
    owners = [one.user for one in rig.place.store.list_desktops("own")]
    assert owners == ["bob", None]


def test_a_deleted_desktop_frees_its_user(rig: BrokeringRig) -> None:
    rig.add_collection("own", AUTO)
    rig.add_ready("my-1", "own")
    ann = rig.add_user("ann")
    assert rig.connect(ann, "own", 10).desktop == "my-1"
    rig.place.store.change_desktop("my-1", lambda _: None)
    assert wait_of(rig.brokering.connect(ann, "own")).code is ReasonCode.NO_DESKTOP_LEFT
    rig.add_ready("my-2", "own")
    assert rig.connect(ann, "own", 10).desktop == "my-2"


def test_the_return_of_a_host_is_heard(rig: BrokeringRig) -> None:
    rig.add_ready("vd-1")
    ann = rig.add_user("ann")
    rig.connect(ann)
    simulator.set_fault(rig.place.path, HOST1, fault="down")
    assert wait_of(rig.brokering.connect(ann, "pool")).code is ReasonCode.HOST_AWAY
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(rig.connect, ann, wait=60)
        simulator.set_fault(rig.place.path, HOST1)
        assert asked.result(60).desktop == "vd-1"
