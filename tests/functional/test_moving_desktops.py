"""Desktops that go from one simulated host to the other, with pools, users and jobs beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fakes import provisioning_rig as rigs
from fakes.pool_rig import HOST, QUIET, PoolRig
from live.service import until
from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import Use
from openrdms.model.host import VmState
from openrdms.services import moving_desktops
from openrdms.services.audit import Audit
from openrdms.services.moving_desktops import MovingDesktops

OTHER, THIRD = "host2.sim.local", "host3.sim.local"


class Killed(BaseException):
    """The service ends here."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PoolRig]:
    rig = PoolRig(tmp_path).resume()
    yield rig.fill(2)
    rig.close()


@pytest.fixture(autouse=True)
def _nothing_is_tried_again_after_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_desktops, "AGAIN_SECONDS", 3600)


@pytest.fixture
def moving(rig: PoolRig) -> MovingDesktops:
    return MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)


def host_of(rig: PoolRig, name: str) -> str:
    record = rig.store.find_desktop(name)
    assert record
    assert (record.moving_to, record.mover) == ("", "")
    return record.host


def test_user_stays_on_his_desktop(rig: PoolRig, moving: MovingDesktops) -> None:
    name = rig.take().name
    rig.log_on(name)
    rig.wait_until(lambda: rig.use(name).seen)
    moving.move(name, "host2")
    use = rig.use(name)
    assert (use.host, use.use, use.holder) == (OTHER, Use.TAKEN, "corp\\alice")
    guest = rig.hosts.get(OTHER).guest(name)
    assert [session.user for session in guest.list_sessions(2)] == ["alice"]
    assert rig.hosts.get(HOST).find_vm(name) is None
    assert Audit(rig.store, rig.hosts).find_orphans().orphans == []
    rig.log_off(name)
    rig.wait_for(name, Use.READY)
    assert host_of(rig, name) == OTHER


def test_where_it_is_already_nothing_happens(rig: PoolRig, moving: MovingDesktops) -> None:
    name = rig.take().name
    moving.move(name, "host1")
    assert host_of(rig, name) == HOST


def test_unknown_desktop_and_unknown_host(rig: PoolRig, moving: MovingDesktops) -> None:
    with pytest.raises(errors.NotFound, match="nobody"):
        moving.move("nobody", OTHER)
    with pytest.raises(errors.NotFound, match="host9"):
        moving.move(rig.take().name, "host9")


def test_host_takes_no_more_than_it_has_room_for(tmp_path: Path) -> None:
    rig = PoolRig(tmp_path, f"{QUIET}&memory_mib=600").resume().fill(2)  # a desktop has 256 MiB
    try:
        rig.run(rigs.create(((OTHER, 2), (THIRD, 1))))
        moving = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)
        names = [use.name for use in rig.store.list_uses(rigs.POOL) if use.host == HOST]
        one, other = (rig.store.find_desktop(name) for name in names)
        assert one
        assert other
        with pytest.raises(errors.InvalidOperation, match="has memory for 0 more"):
            moving.move(one.name, OTHER)
        targets = moving.find_targets(rig.hosts.get(HOST))
        found = targets.choose(one.name)
        assert found.host == THIRD
        moving.move(one.name, THIRD)
        targets.note_moved(found)
        for known in (targets, moving.find_targets(rig.hosts.get(HOST))):
            with pytest.raises(errors.NoRoom):
                known.choose(other.name)
        assert (host_of(rig, one.name), host_of(rig, other.name)) == (THIRD, HOST)
    finally:
        rig.close()


def test_desktop_in_work_stays(rig: PoolRig, moving: MovingDesktops) -> None:
    name = rig.take().name
    rig.uses.move([name], Use.WORK, of=[Use.TAKEN], claim="{1}")
    with pytest.raises(errors.InvalidOperation, match="in work"):
        moving.move(name, OTHER)
    assert host_of(rig, name) == HOST


def test_host_that_refuses_leaves_it_where_it_was(
    rig: PoolRig, moving: MovingDesktops, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = rig.take().name
    monkeypatch.setattr(rig.hosts.get(HOST), "migrate", refuse)
    with pytest.raises(errors.OperationFailed):
        moving.move(name, OTHER)
    assert host_of(rig, name) == HOST
    assert rig.use(name).use is Use.TAKEN


def test_nobody_takes_it_in_hand_on_its_way(
    rig: PoolRig, moving: MovingDesktops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spare that moves is given to nobody; an UNREADY one is prepared where it arrives."""
    host = rig.hosts.get(HOST)
    migrate, begun, go_on = host.migrate, threading.Event(), threading.Event()

    def wait(*arguments: object) -> None:
        begun.set()
        assert go_on.wait(60)
        migrate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(host, "migrate", wait)
    names = [use.name for use in rig.store.list_uses(rigs.POOL)]
    mover = threading.Thread(target=moving.move, args=(names[0], OTHER))
    mover.start()
    assert begun.wait(60)
    assert rig.take("corp\\bob").name == names[1]
    assert rig.uses.take_ready(rigs.POOL, "corp\\carol") is None
    assert rig.uses.move([names[0]], Use.PREPARING, of=[Use.READY]) == []
    with pytest.raises(errors.InvalidOperation, match="being moved"):
        moving.move(names[0], OTHER)
    rig.uses.move([names[0]], Use.UNREADY, of=[Use.READY])
    go_on.set()
    mover.join(60)
    rig.wait_for(names[0], Use.READY)
    assert host_of(rig, names[0]) == OTHER


@pytest.mark.parametrize("arrived", [False, True])
def test_killed_in_the_middle_one_vm_is_left_and_the_truth(
    rig: PoolRig, moving: MovingDesktops, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    name = rig.take().name
    host = rig.hosts.get(HOST)
    with monkeypatch.context() as dying:
        dying.setattr(host, "migrate", killed(host.migrate if arrived else None))
        with pytest.raises(Killed):
            moving.move(name, OTHER)
    record = rig.store.find_desktop(name)
    assert record
    assert (record.host, record.moving_to) == (HOST, OTHER)
    rig.reconciling.reconcile(host)
    assert rig.use(name).use is Use.TAKEN
    MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses).start()
    where = OTHER if arrived else HOST
    until("it is settled", lambda: rig.use(name).moving is False)
    assert host_of(rig, name) == where
    found = [one.name for one in rig.hosts.all() if one.find_vm(name)]
    assert found == [where]
    vm = rig.hosts.get(where).find_vm(name)
    assert vm
    assert vm.state is VmState.RUNNING
    assert Audit(rig.store, rig.hosts).find_orphans().orphans == []


def killed(really: Callable[..., None] | None) -> Callable[..., None]:
    def migrate(*arguments: object) -> None:
        if really:
            really(*arguments)
        raise Killed

    return migrate


def leave_on_its_way(rig: PoolRig, monkeypatch: pytest.MonkeyPatch) -> str:
    """What service "dead" was moving: it has arrived."""
    name = rig.take().name
    host: ports.Host = rig.hosts.get(HOST)
    dead = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses, "dead")
    with monkeypatch.context() as dying:
        dying.setattr(host, "migrate", killed(host.migrate))
        with pytest.raises(Killed):
            dead.move(name, OTHER)
    return name


def refuse(*_: object) -> NoReturn:
    raise errors.OperationFailed("cannot acquire state change lock")


def test_another_service_settles_what_a_dead_one_left(
    rig: PoolRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = leave_on_its_way(rig, monkeypatch)
    alive = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses, "alive")
    assert not alive.settle(lambda service: service == "alive")
    assert rig.use(name).moving
    assert not alive.settle(lambda service: service == "dead")
    assert host_of(rig, name) == OTHER


def test_what_hosts_refuse_for_a_while_is_settled_then(
    rig: PoolRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libvirt does while it has connections of who led the migration."""
    name = leave_on_its_way(rig, monkeypatch)
    host = rig.hosts.get(HOST)
    settle_move, refused = host.settle_move, threading.Semaphore(0)
    accepts = threading.Event()

    def settle(*arguments: Any) -> bool:
        if not accepts.is_set():
            refused.release()
            refuse()
        return settle_move(*arguments)

    monkeypatch.setattr(host, "settle_move", settle)
    monkeypatch.setattr(moving_desktops, "AGAIN_SECONDS", 0.01)
    MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses, "alive").settle_soon()
    for _ in range(3):
        assert refused.acquire(timeout=60)
    accepts.set()
    until("it is settled", lambda: not rig.use(name).moving)
    assert host_of(rig, name) == OTHER
    until("nobody tries again", lambda: "settle-moves" not in names_of_threads())


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_one_service_at_a_time_settles_a_move(
    rig: PoolRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = leave_on_its_way(rig, monkeypatch)
    live = ["one", "two"]
    one, two = (
        MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses, service, lambda: live)
        for service in live
    )
    with monkeypatch.context() as refusing:
        refusing.setattr(rig.hosts.get(HOST), "settle_move", refuse)
        assert one.settle(lambda mover: mover not in live)
        refusing.setattr(rig.health, "is_away", lambda host: host == OTHER)
        assert not one.settle(lambda mover: mover == "one")  # its return is waited for
    assert not two.settle(lambda mover: mover not in live)
    with pytest.raises(errors.InvalidOperation, match="is moving to"):
        two.move(name, OTHER)
    live.remove("one")
    two.move(name, OTHER)
    assert host_of(rig, name) == OTHER


def test_whoever_lives_is_left_alone_and_all_others_are_settled(
    rig: PoolRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by a service that is gone, one by a service that was alone: its id is ""."""
    names = {}
    with monkeypatch.context() as dying:
        host = rig.hosts.get(HOST)
        dying.setattr(host, "migrate", killed(host.migrate))
        for service in ("other", ""):
            names[service] = rig.take(f"corp\\for-{service}").name
            mover = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses, service)
            with pytest.raises(Killed):
                mover.move(names[service], OTHER)
    live = ["me", "other"]
    mine = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses, "me", lambda: live)
    mine.settle_soon()
    until("it is settled", lambda: not rig.use(names[""]).moving)
    assert rig.use(names["other"]).moving
    live.remove("other")
    mine.settle_soon()
    until("it is settled", lambda: not rig.use(names["other"]).moving)
    assert {host_of(rig, name) for name in names.values()} == {OTHER}


def test_what_could_not_be_settled_is_with_the_next_move(
    rig: PoolRig, moving: MovingDesktops, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = rig.take().name
    host = rig.hosts.get(HOST)
    with monkeypatch.context() as failing:
        failing.setattr(host, "migrate", refuse)
        failing.setattr(host, "settle_move", refuse)
        with pytest.raises(errors.OperationFailed):
            moving.move(name, OTHER)
    assert rig.use(name).moving
    moving.move(name, OTHER)
    assert host_of(rig, name) == OTHER
