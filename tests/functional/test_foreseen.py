"""Changes other than jobs, and Prep jobs, before they are made: asked for, and nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pytest
from lxml import etree

from fakes.provisioning_rig import FAST, POOL, Rig, create, later, now
from functional.test_planner import dump
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.desktop_use import Use
from openrdms.model.job import JobAction
from openrdms.model.plan import Plan, PlannedChange, render_plan
from openrdms.model.provisioning import render_job
from openrdms.model.reason import ReasonCode
from openrdms.services.draining import Draining
from openrdms.services.host_states import HostStates
from openrdms.services.moving_desktops import MovingDesktops
from openrdms.services.reconciling import Reconciling
from openrdms.services.releasing import Releasing

ONE, TWO = "host1.sim.local", "host2.sim.local"
ANN = "corp\\ann"
_SCHEMA = etree.XMLSchema(
    etree.fromstring((resources.files("openrdms.model") / "plan.xsd").read_bytes())
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Three spares on host1, and no pool that would do anything with them."""
    rig = Rig(tmp_path, f"{FAST}&users=0&capacity=5").resume()
    rig.add_collection()
    rig.run(create([("host1", 3)]))
    yield rig
    rig.close()


@pytest.fixture
def moving(rig: Rig) -> MovingDesktops:
    return MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)


def take(rig: Rig, name: str = "pool-1", *, logged_on: bool = True) -> str:
    """Have Ann have that desktop."""
    [taken] = rig.uses.move([name], Use.TAKEN, of=[Use.READY], holder=ANN)
    if logged_on:
        rig.hosts.get(taken.host).guest(name).log_on("ann")
    return name


def foresee(rig: Rig, ask: Callable[[], Plan]) -> Plan:
    """The plan, after which everything is as before."""
    before = dump(rig)
    found = ask()
    assert dump(rig) == before
    _SCHEMA.assertValid(etree.fromstring(render_plan(found)))
    return found


def test_a_move(rig: Rig, moving: MovingDesktops) -> None:
    name = take(rig)
    found = foresee(rig, lambda: moving.plan(name, "host2"))
    assert (found.action, found.users, found.seconds) == (PlannedChange.MOVE, (), None)
    [desktop], [host] = found.desktops, found.hosts
    assert (desktop.name, desktop.host, desktop.reason) == (name, TWO, ReasonCode.AS_ASKED)
    assert desktop.note == f"goes on running, comes from {ONE}"
    assert (host.name, host.desktops) == (TWO, 1)
    assert host.memory_mib == rig.images.resolve("image:tiny").memory_mib
    moving.move(name, "host2")
    assert foresee(rig, lambda: moving.plan(name, "host2")).desktops[0].note == "is there"


def test_a_move_is_refused_before_it_is_made_in_the_same_words(
    rig: Rig, moving: MovingDesktops
) -> None:
    saved, worked_on = take(rig), take(rig, "pool-2", logged_on=False)
    rig.hosts.get(ONE).save(saved)
    rig.uses.move([worked_on], Use.WORK, of=[Use.TAKEN], claim="{1}")
    for name, host in (("pool-9", TWO), (saved, "host9"), (saved, TWO), (worked_on, TWO)):
        before = dump(rig)
        with pytest.raises(errors.RdmsError) as foreseen:
            moving.plan(name, host)
        assert dump(rig) == before
        with pytest.raises(errors.RdmsError) as refused:
            moving.move(name, host)
        assert (type(foreseen.value), str(foreseen.value)) == (
            type(refused.value),
            str(refused.value),
        )


def test_a_host_that_is_emptied(
    rig: Rig, moving: MovingDesktops, monkeypatch: pytest.MonkeyPatch
) -> None:
    draining = Draining(rig.store, rig.hosts, rig.uses, moving)
    rig.run(later(JobAction.UPDATE, hosts=create([("host2", 4), ("host3", 4)]).hosts))
    used, saved = take(rig), "pool-2"
    rig.hosts.get(ONE).save(saved)
    rig.uses.move([saved], Use.READY, of=[Use.READY], saved=True)
    found = foresee(rig, lambda: draining.plan("host1"))
    away = {one.name: (one.host, one.note) for one in found.desktops if one.host != ONE}
    assert away == {
        used: (TWO, f"goes on running, comes from {ONE}"),
        saved: ("host3.sim.local", "is stopped first"),
    }
    [last] = [one for one in found.desktops if one.host == ONE]
    assert (last.name, last.reason) == ("pool-3", ReasonCode.NO_CAPACITY)
    assert last.note.startswith("is stopped: NumberVms: host2.sim.local has room for 0 more")
    assert [(host.name, host.desktops) for host in found.hosts] == [
        (TWO, 1),
        ("host3.sim.local", 1),
    ]
    assert not foresee(rig, lambda: draining.plan("host1", drain=False)).desktops
    monkeypatch.setattr(type(rig.hosts.get(ONE)), "is_shared_with", lambda *_: False)
    stays = draining.plan(ONE)
    assert (stays.awaited, stays.hosts, stays.seconds) == ((ANN,), (), 0)
    assert {one.host for one in stays.desktops} == {ONE}
    monkeypatch.undo()
    states = HostStates(rig.store, rig.hosts, rig.health, rig.tokens.is_degraded)
    draining.start(states)
    states.set_drain(ONE, True)

    def where() -> dict[str, str]:
        records = rig.store.list_desktops(POOL)
        return {one.name: one.host for one in records if not one.moving_to}

    planned = {one.name: one.host for one in found.desktops}
    rig.wait_until(lambda: {name: where().get(name) for name in planned} == planned)
    rig.wait_until(lambda: rig.store.count_uses(POOL)[Use.UNREADY] == 2)


def test_a_desktop_that_is_taken_back(rig: Rig) -> None:
    releasing = Releasing(rig.store, rig.hosts, rig.uses, lambda _collection: 2.5)
    name = take(rig)
    with pytest.raises(errors.InvalidOperation) as refused:
        releasing.plan(name)
    assert str(refused.value) == f"{name}\\ann would be logged off {name}, which needs Force"
    found = foresee(rig, lambda: releasing.plan(name, force=True))
    assert (found.users, found.seconds) == ((f"{name}\\ann",), 3)
    assert found.desktops[0].note == f"{ANN} has it no more"
    simulator.set_fault(rig.simulator, ONE, name, "silent")
    found = foresee(rig, lambda: releasing.plan(name, force=True))
    assert "does not say who is on it" in found.desktops[0].note
    with pytest.raises(errors.InvalidOperation, match="may be logged on"):
        releasing.plan(name)
    simulator.set_fault(rig.simulator, ONE, name, "")
    free = take(rig, "pool-2", logged_on=False)
    assert foresee(rig, lambda: releasing.plan(free)).users == ()
    with pytest.raises(errors.InvalidOperation, match="in nobody's way"):
        releasing.plan("pool-3")


def test_a_host_that_is_given_up(rig: Rig) -> None:
    reconciling = Reconciling(rig.store, rig.hosts, rig.health, rig.uses, now)
    take(rig, logged_on=False)
    with pytest.raises(errors.InvalidOperation, match="answers"):
        reconciling.plan_forgetting("host1")
    simulator.set_fault(rig.simulator, ONE, fault="down")
    found = reconciling.plan_forgetting("host1")
    assert [one.name for one in found.desktops] == ["pool-1", "pool-2", "pool-3"]
    assert found.desktops[0].note == f"{ANN} has it no more"
    assert found.warnings == ()
    guid = rig.execute(later(JobAction.PATCH))
    rig.wait_until(lambda: rig.store.list_job_desktops(guid))
    found = reconciling.plan_forgetting("host1")
    assert found.warnings == (f"job {guid} goes on without its 3 desktops there",)
    assert len(rig.store.list_desktops(POOL)) == 3
    assert reconciling.forget("host1") == [one.name for one in found.desktops]
    rig.wait(guid)


def test_a_vm_that_becomes_an_image(rig: Rig) -> None:
    name = take(rig)
    asked = {"collection": "", "host": "host1", "vm": name, "export_to": "x"}
    found = foresee(rig, lambda: rig.provisioning.find_prep_plan(**asked, sysprep=True))
    assert (found.refusal, found.action, found.users) == ("", JobAction.PREP, (f"{name}\\ann",))
    assert (found.image, found.seconds) == (f"prep-{name}", None)
    [host], [desktop] = found.hosts, found.desktops
    assert (host.name, host.desktops, host.memory_mib) == (ONE, 1, 256)
    assert desktop.note.startswith("is shut down while its disk is copied, then started again; ")
    missing = {**asked, "vm": "none"}
    refused = foresee(rig, lambda: rig.provisioning.find_prep_plan(**missing, sysprep=True))
    assert refused.reason == ReasonCode.NOT_AS_ASKED
    with pytest.raises(errors.NotFound) as real:
        rig.provisioning.prepare(**missing, sysprep=True)
    assert str(real.value) == refused.refusal


def test_an_update_that_is_scheduled(rig: Rig) -> None:
    take(rig)
    text, begin = render_job(later(JobAction.PATCH)), now()
    hour, never = timedelta(hours=1), begin.replace(year=9999)

    def ask(collection: str = POOL, begins: timedelta = hour, document: str = text) -> Plan:
        return rig.patching.plan(collection, begin + begins, begin + hour, document)

    found = foresee(rig, ask)
    assert (found.refusal, found.users, found.awaited) == ("", (ANN,), ())
    patient = foresee(rig, lambda: rig.patching.plan(POOL, begin, never, text))
    assert (patient.users, patient.awaited) == ((), (ANN,))
    assert ask(begins=2 * hour).refusal == "ForceLogOffTime: is before StartTime"
    assert ask("Other").refusal == "Name: 'Pool' is another collection"
    other = ask(document=render_job(later(JobAction.DELETE)))
    assert other.refusal == "Action: Delete cannot be scheduled, only Patch"
    rig.schedule(3600)
    busy = foresee(rig, ask)
    assert busy.reason == ReasonCode.NOT_NOW
    assert "takes no job in state UPDATE_SCHEDULED" in busy.refusal
