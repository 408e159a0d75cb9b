"""Hosts that are emptied for maintenance, on the simulator."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import provisioning_rig as rigs
from fakes.pool_rig import HOST, PoolRig
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.services.draining import Draining
from openrdms.services.host_states import HostStates
from openrdms.services.moving_desktops import MovingDesktops


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PoolRig]:
    rig = PoolRig(tmp_path).resume()
    yield rig.fill(3)
    rig.close()


@pytest.fixture
def states(rig: PoolRig) -> HostStates:
    states = HostStates(rig.store, rig.hosts, rig.health, rig.tokens.is_degraded)
    states.subscribe(rig.pools.note_settings)
    return states


@pytest.fixture
def draining(rig: PoolRig) -> Iterator[Draining]:
    moving = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)
    draining = Draining(rig.store, rig.hosts, rig.uses, moving)
    yield draining
    draining.close()


def hosts_of(rig: PoolRig) -> set[str]:
    return {use.host for use in rig.store.list_uses(rigs.POOL)}


def uses_of(rig: PoolRig) -> list[DesktopUse]:
    return list(rig.store.list_uses(rigs.POOL))


def refuse_all(*_: object) -> None:
    raise errors.OperationFailed("no")


def test_all_goes_elsewhere_and_users_stay_on(
    rig: PoolRig, states: HostStates, draining: Draining
) -> None:
    draining.start(states)
    name = rig.take().name
    rig.log_on(name)
    saved = rig.take("corp\\bob").name
    rig.uses.move([saved], Use.READY, of=[Use.TAKEN], saved=True)
    rig.host_of(saved).save(saved)
    states.set_drain(HOST, True)
    rig.wait_until(lambda: HOST not in hosts_of(rig))
    assert rig.hosts.get(HOST).list_vms() == []
    use = rig.use(name)
    assert (use.use, use.holder) == (Use.TAKEN, "corp\\alice")
    sessions = rig.hosts.get(use.host).guest(name).list_sessions(2)
    assert [session.user for session in sessions] == ["alice"]
    rig.wait_until(lambda: states.get(HOST).desktops == 0)
    assert states.get(HOST).settings.drain


def test_host_that_is_emptied_gets_no_desktops(rig: PoolRig, states: HostStates) -> None:
    states.set_drain(HOST, True)
    with pytest.raises(errors.RdmsError):
        rig.run(rigs.create(((HOST, 1),)))
    assert len(rig.hosts.get(HOST).list_vms()) <= 3


def test_whoever_starts_later_goes_on(rig: PoolRig, states: HostStates, draining: Draining) -> None:
    states.set_drain(HOST, True)
    draining.start(states)
    rig.wait_until(lambda: HOST not in hosts_of(rig))


def test_host_may_have_desktops_again(rig: PoolRig, states: HostStates, draining: Draining) -> None:
    draining.start(states)
    states.set_drain(HOST, True)
    rig.wait_until(lambda: HOST not in hosts_of(rig))
    states.set_drain(HOST, False)
    moving = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)
    name = rig.take().name
    moving.move(name, HOST)
    assert rig.use(name).host == HOST


def test_where_no_disks_are_shared_spares_stop_and_users_stay(
    rig: PoolRig, states: HostStates, draining: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(rig.hosts.get(HOST)), "is_shared_with", lambda *_: False)
    draining.start(states)
    mine = rig.take().name
    rig.log_on(mine)
    states.set_drain(HOST, True)
    rig.wait_until(lambda: rig.store.count_uses(rigs.POOL) == {Use.TAKEN: 1, Use.UNREADY: 2})
    rig.wait_until(lambda: sum(rig.power(use.name) == "running" for use in uses_of(rig)) == 1)
    assert rig.power(mine) == "running"
    assert rig.uses.take_ready(rigs.POOL, "corp\\bob") is None


def test_refusal_is_not_tried_again_at_once(
    rig: PoolRig, states: HostStates, draining: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(name: str, *_: object) -> None:
        tried.append(name)
        refuse_all()

    monkeypatch.setattr(rig.hosts.get(HOST), "migrate", refuse)
    draining.start(states)
    states.set_drain(HOST, True)
    rig.wait_until(lambda: len(tried) >= 3)
    time.sleep(2)
    assert len(tried) <= 9


def test_lost_records_do_not_end_it(
    rig: PoolRig, states: HostStates, draining: Draining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.hosts.get(HOST), "migrate", refuse_all)
    draining.start(states)
    states.set_drain(HOST, True)
    asked = threading.Event()

    def lose(_host: str) -> None:
        asked.set()
        raise errors.RecordsUnavailable("gone")

    with monkeypatch.context() as lost:
        lost.setattr(rig.store, "find_host_settings", lose)
        asked.clear()
        rig.uses.announce([uses_of(rig)[0].name])
        assert asked.wait(60)
        asked.clear()
        rig.uses.announce([uses_of(rig)[0].name])
        assert asked.wait(60)
    monkeypatch.undo()
    rig.uses.announce([uses_of(rig)[0].name])
    rig.wait_until(lambda: HOST not in hosts_of(rig))
