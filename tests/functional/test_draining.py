"""Hosts that are emptied for maintenance, on the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import provisioning_rig as rigs
from fakes.pool_rig import HOST, PoolRig
from openrdms.model import errors
from openrdms.model.desktop_use import Use
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


def begin(rig: PoolRig, states: HostStates) -> None:
    moving = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)
    Draining(rig.store, rig.hosts, rig.health, rig.uses, moving).start(states)


def hosts_of(rig: PoolRig) -> set[str]:
    return {use.host for use in rig.store.list_uses(rigs.POOL)}


def test_all_goes_elsewhere_and_users_stay_on(rig: PoolRig, states: HostStates) -> None:
    begin(rig, states)
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


def test_whoever_starts_later_goes_on(rig: PoolRig, states: HostStates) -> None:
    states.set_drain(HOST, True)
    begin(rig, states)
    rig.wait_until(lambda: HOST not in hosts_of(rig))


def test_host_may_have_desktops_again(rig: PoolRig, states: HostStates) -> None:
    begin(rig, states)
    states.set_drain(HOST, True)
    rig.wait_until(lambda: HOST not in hosts_of(rig))
    states.set_drain(HOST, False)
    moving = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)
    name = rig.take().name
    moving.move(name, HOST)
    assert rig.use(name).host == HOST
