"""Pools on the simulator: what a user leaves behind is gone before the next one comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes import provisioning_rig as rigs
from fakes.pool_rig import HOST, QUIET, PoolRig
from fakes.provisioning_rig import POOL, Faults, create, later
from openrdms.adapters import simulator
from openrdms.model import errors, farm_settings
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import DiskKind, GuestIdentity, HostSettings
from openrdms.model.image import ImageVersion
from openrdms.model.job import JobAction
from openrdms.model.pool_policy import MOST_FAILURES
from openrdms.model.provisioning import render_job
from openrdms.services import pools, preparation
from openrdms.services.collections import Collections

Opened = Callable[..., PoolRig]


@pytest.fixture
def open_rig(tmp_path: Path) -> Iterator[Opened]:
    rigs: list[PoolRig] = []

    def open_one(*args: object, **options: object) -> PoolRig:
        rigs.append(PoolRig(tmp_path, *args, **options))  # type: ignore[arg-type]
        return rigs[-1].resume()

    yield open_one
    for rig in rigs:
        rig.close()


def spoil(rig: PoolRig, name: str) -> None:
    """Leave something on the desktop's disk, as a user might."""
    rig.host_of(name).guest(name).set_identity(GuestIdentity("spoiled", "", ""), 2)


def hostname(rig: PoolRig, name: str) -> str:
    return str(rig.host_of(name).guest(name).identity().hostname)


def test_a_desktop_is_reset_after_logoff(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    taken = rig.take()
    rig.log_on(taken.name)
    rig.wait_until(lambda: rig.use(taken.name).seen)
    spoil(rig, taken.name)
    assert rig.uses.take_ready(POOL, "corp\\bob") is None
    rig.log_off(taken.name)
    ready = rig.wait_for(taken.name, Use.READY)
    assert hostname(rig, taken.name) == taken.name
    assert ready.fresh > taken.fresh
    assert (ready.holder, ready.failures) == ("", 0)
    assert rig.uses.take_ready(POOL, "corp\\bob")
    assert rig.orphans() == []


def test_who_logs_on_unasked_has_the_desktop(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    rig.log_on("pool-1", "mallory")
    taken = rig.wait_for("pool-1", Use.TAKEN)
    assert (taken.holder, taken.asked, taken.seen) == ("pool-1\\mallory", False, True)
    rig.log_off("pool-1")
    rig.wait_for("pool-1", Use.READY)


def test_the_first_users_of_a_job_have_their_desktops(open_rig: Opened) -> None:
    rig = open_rig(QUIET.replace("users=0", "users=1"))
    rig.add_collection()
    rig.run(create(((HOST, 2),)))
    rig.wait_until(lambda: rig.store.count_uses(POOL) == {Use.TAKEN: 2})


def test_a_machine_that_stops_is_made_anew(open_rig: Opened) -> None:
    rig = open_rig().fill(2)
    taken = rig.take()
    for name in ("pool-1", "pool-2"):
        spoil(rig, name)
        rig.host_of(name).destroy(name)
    rig.wait_until(lambda: rig.store.count_uses(POOL) == {Use.READY: 2})
    assert hostname(rig, taken.name) == taken.name


def test_a_machine_that_stopped_while_a_job_had_it_is_not_handed_out(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    rig.uses.move(["pool-1"], Use.WORK, of={Use.READY}, claim="{JOB}")
    rig.host_of("pool-1").destroy("pool-1")
    time.sleep(0.3)
    rig.uses.move(["pool-1"], Use.READY, of={Use.WORK}, claim="")
    rig.wait_until(lambda: rig.power("pool-1") == "running")
    rig.wait_for("pool-1", Use.READY)


def test_nothing_is_reset_without_rollback(open_rig: Opened) -> None:
    rig = open_rig().fill(1, rollback_enabled=False)
    taken = rig.take()
    rig.log_on("pool-1")
    rig.wait_until(lambda: rig.use("pool-1").seen)
    spoil(rig, "pool-1")
    rig.log_off("pool-1")
    ready = rig.wait_for("pool-1", Use.READY)
    assert hostname(rig, "pool-1") == "spoiled"
    assert ready.mark != taken.mark


def give_and_spoil(rig: PoolRig, name: str) -> None:
    """Somebody has it, leaves something on it, and goes."""
    rig.uses.move([name], Use.TAKEN, of={Use.READY}, holder="corp\\alice", asked=True)
    rig.log_on(name)
    rig.wait_until(lambda: rig.use(name).seen)
    spoil(rig, name)
    rig.log_off(name)
    rig.wait_for(name, Use.READY)
    assert hostname(rig, name) == "spoiled"


def begin_to_reset(rig: PoolRig) -> None:
    collections = Collections(rig.store, rig.hosts, rig.uses)
    collections.subscribe(rig.pools.note_collection)
    collections.subscribe(rig.watch.note_collection)
    settings = farm_settings.DEFAULT
    collections.modify(POOL, rollback_enabled=True, vm_farm_settings=settings)


def test_what_was_handed_on_as_it_was_is_reset_once_the_collection_does_so(
    open_rig: Opened,
) -> None:
    """Also what is in the pool's hands just then: one is saved, one started, as they were left."""
    hold, held, faults = threading.Event(), threading.Semaphore(0), Faults()
    rig = open_rig(wrap_host=faults.wrap).fill(3, rollback_enabled=False)
    for name in ("pool-1", "pool-2", "pool-3"):
        give_and_spoil(rig, name)

    def wait(call: str, vm: str) -> None:
        if (call, vm) in (("save", "pool-2"), ("start", "pool-3")):
            held.release()
            hold.wait(60)

    faults.before = wait
    (saved,) = rig.uses.move(["pool-2"], Use.PREPARING, of={Use.READY})
    attempt = rig.preparation.enter(saved)
    saving = threading.Thread(target=rig.preparation.save, args=[attempt], daemon=True)
    saving.start()
    rig.uses.move(["pool-3"], Use.UNREADY, of={Use.READY})
    assert held.acquire(timeout=60)
    assert held.acquire(timeout=60)
    given = {name: rig.use(name).since for name in ("pool-1", "pool-2", "pool-3")}
    begin_to_reset(rig)
    hold.set()
    saving.join(60)
    for name, before in given.items():
        rig.wait_until(lambda name=name, before=before: rig.use(name).fresh > before)
        rig.wait_for(name, Use.READY)
        assert hostname(rig, name) == name
    assert rig.orphans() == []


def test_who_leaves_while_the_collection_begins_to_reset_leaves_nothing(open_rig: Opened) -> None:
    """That he has left was seen before the change, and is written after it."""
    rig = open_rig().fill(1, rollback_enabled=False)
    before = rig.take()
    begin_to_reset(rig)
    after = rig.uses.turn(before, Use.READY, mark="seen before")
    assert after and after.use is Use.UNREADY
    rig.wait_for("pool-1", Use.READY)
    assert rig.use("pool-1").mark != "seen before"


def test_a_desktop_that_cannot_be_reset_is_put_apart(open_rig: Opened) -> None:
    """One that a personal collection had made, and that has become a member."""
    rig = open_rig().fill(2)
    record = rig.store.find_desktop("pool-1")
    assert record
    rig.store.put_desktops([replace(record, disk_kind=DiskKind.FULL)])
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    assert "cannot be reset" in rig.wait_for("pool-1", Use.QUARANTINED).reason
    assert rig.pools.breaker(POOL).failures == 0


def test_a_spare_that_was_touched_is_not_saved(
    open_rig: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was on it between two questions; once it is saved its guest cannot be asked."""
    monkeypatch.setattr(simulator.SimulatorHost, "tells_sessions", False)
    rig = open_rig().fill(2)
    for name in ("pool-1", "pool-2"):
        (use,) = rig.uses.move([name], Use.PREPARING, of={Use.READY}, fresh=rig.use(name).fresh)
        if name == "pool-1":
            rig.log_on(name)
            rig.log_off(name)
            spoil(rig, name)
        rig.preparation.save(rig.preparation.enter(use))
    assert (rig.use("pool-2").use, rig.use("pool-2").saved) == (Use.READY, True)
    rig.wait_until(lambda: rig.use("pool-1").use is Use.READY)
    assert hostname(rig, "pool-1") == "pool-1"


def test_desktops_left_off_are_started_for_those_who_wait(open_rig: Opened) -> None:
    rig = open_rig().fill(2, start=False)
    rig.pools.set_waiting(POOL, 1)
    rig.wait_until(lambda: rig.store.count_uses(POOL).get(Use.READY) == 1)
    rig.pools.set_waiting(POOL, 0)
    assert rig.store.count_uses(POOL) == {Use.READY: 1, Use.UNREADY: 1}


def test_spares_are_kept_running_as_an_administrator_says(open_rig: Opened) -> None:
    rig = open_rig().fill(3, start=False)
    rig.pools.note_settings(HOST, HostSettings(idle_count=1))
    rig.wait_until(lambda: rig.store.count_uses(POOL).get(Use.READY) == 1)
    taken = rig.take()
    rig.wait_until(lambda: rig.store.count_uses(POOL).get(Use.READY) == 1)
    assert rig.use(taken.name).use is Use.TAKEN
    assert rig.store.count_uses(POOL) == {Use.TAKEN: 1, Use.READY: 1, Use.UNREADY: 1}


def test_a_host_keeps_as_many_spares_as_are_set_whatever_their_pools(open_rig: Opened) -> None:
    rig = open_rig().fill(4, start=False)
    pool = rig.store.find_collection(POOL)
    assert pool
    rig.store.create_collection(replace(pool, alias="other", name="The other"))
    for name in ("pool-3", "pool-4"):
        record = rig.store.find_desktop(name)
        assert record
        rig.store.put_desktops([replace(record, collection="other", home="other")])
    for alias in (POOL, "other"):
        rig.pools.note_collection(alias)

    def ready() -> list[int]:
        return [rig.store.count_uses(alias).get(Use.READY, 0) for alias in (POOL, "other")]

    rig.pools.note_settings(HOST, HostSettings(idle_count=2))
    rig.wait_until(lambda: ready() == [1, 1])
    rig.pools.note_settings(HOST, HostSettings(idle_count=3))
    rig.wait_until(lambda: ready() == [1, 2])
    for name in ("alice", "bob"):
        assert rig.uses.take_ready("other", name)
    rig.wait_until(lambda: ready() == [2, 0])  # it has none left to keep


def test_what_a_preparation_takes_is_known_after_a_restart(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    assert rig.pools.seconds(POOL) is None
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: rig.pools.seconds(POOL) is not None)
    rig.wait_until(lambda: "preparation" in {one.kind for one in rig.store.list_step_times()})
    parts = (rig.store, rig.hosts, rig.health, rig.uses, rig.preparation, rigs.now)
    later = pools.Pools(*parts, holds_duty=lambda: False)
    later.start()
    try:
        assert later.seconds(POOL) is not None
    finally:
        later.close()


def test_what_is_left_beyond_the_spares_goes_off(open_rig: Opened) -> None:
    rig = open_rig().fill(2)
    taken = rig.take()
    rig.log_on(taken.name)
    rig.wait_until(lambda: rig.use(taken.name).seen)
    rig.pools.note_settings(HOST, HostSettings(idle_count=1))
    rig.log_off(taken.name)
    rig.wait_until(lambda: rig.use(taken.name).left_off)
    rig.wait_for(taken.name, Use.UNREADY)
    assert rig.power(taken.name) == "stopped"
    assert rig.store.count_uses(POOL) == {Use.READY: 1, Use.UNREADY: 1}


def test_idle_spares_are_saved_and_one_is_resumed_at_need(open_rig: Opened) -> None:
    delay = '<Farm><Metadata Name="SaveDelay" Value="300" /></Farm>'
    rig = open_rig().fill(2, vm_farm_settings=delay)
    rig.wait_until(lambda: all(use.saved for use in rig.store.list_uses(POOL)))
    fresh = rig.use("pool-1").fresh
    assert (rig.power("pool-1"), rig.power("pool-2")) == ("saved", "saved")
    rig.pools.note_settings(HOST, HostSettings(idle_count=1))
    rig.wait_until(
        lambda: [u.saved for u in rig.store.list_uses(POOL, use=Use.READY)].count(False) == 1
    )
    running = next(use for use in rig.store.list_uses(POOL) if not use.saved)
    assert rig.power(running.name) == "running"
    assert rig.use("pool-1").fresh == fresh
    assert rig.take().name == running.name


class Later:
    """A clock that an hour hand can be turned on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def test_spares_are_made_anew_when_they_are_old(open_rig: Opened) -> None:
    clock = Later()
    delay = '<Farm><Metadata Name="SaveDelay" Value="999999999" /></Farm>'
    rig = open_rig(clock=clock).fill(2, vm_farm_settings=delay)
    before = {use.name: use.fresh for use in rig.store.list_uses(POOL)}
    spoil(rig, "pool-1")
    clock.ahead = timedelta(hours=25)
    rig.pools.wake()
    rig.wait_until(lambda: all(u.fresh > before[u.name] for u in rig.store.list_uses(POOL)))
    rig.wait_until(lambda: rig.store.count_uses(POOL) == {Use.READY: 2})
    assert hostname(rig, "pool-1") == "pool-1"


def test_who_never_logs_on_loses_the_desktop(open_rig: Opened) -> None:
    clock = Later()
    rig = open_rig(clock=clock).fill(1)
    rig.take()
    clock.ahead = timedelta(minutes=11)
    rig.pools.wake()
    ready = rig.wait_for("pool-1", Use.READY)
    assert ready.turn == 1


def test_a_pool_that_keeps_failing_stops_and_says_why(
    open_rig: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it is impatient; of guests that work none needs more than a moment."""
    rig = open_rig().fill(6)
    monkeypatch.setattr(preparation, "BOOT_SHARE", 0.0)
    monkeypatch.setattr(rig.preparation, "_boot_deadline", 0.3)
    for use in rig.store.list_uses(POOL):
        rig.fault(use.name, "silent")
        rig.uses.move([use.name], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: bool(rig.pools.stopped(POOL)))
    assert "the guest agent did not answer within" in rig.pools.stopped(POOL)
    rig.wait_until(lambda: Use.PREPARING not in rig.store.count_uses(POOL))
    for use in rig.store.list_uses(POOL):
        rig.fault(use.name, "")
        rig.uses.change([use.name], lambda use: use.becoming(Use.UNREADY, use.since, failures=0))
    assert Use.READY not in rig.store.count_uses(POOL)
    monkeypatch.undo()
    rig.pools.reset_breaker(POOL)
    rig.wait_until(lambda: rig.store.count_uses(POOL) == {Use.READY: 6})
    assert rig.orphans() == []


def test_a_guest_that_is_slow_to_answer_is_asked_again(
    open_rig: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing else happens: no event of its agent, and nothing else is due."""
    monkeypatch.setattr(preparation, "RECHECK", 0.3)
    rig = open_rig(boot_deadline=20.0).fill(1)
    rig.fault("pool-1", "silent")
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: rig.power("pool-1") == "running" and rig.use("pool-1").failures == 0)
    time.sleep(4)  # it was asked twice
    rig.fault("pool-1", "")
    rig.wait_for("pool-1", Use.READY)


def test_a_host_that_is_away_is_waited_for(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    simulator.set_fault(rig.simulator, HOST, "", "down")
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: rig.health.is_away(HOST))
    assert rig.use("pool-1").failures == 0
    simulator.set_fault(rig.simulator, HOST, "", "")
    rig.wait_for("pool-1", Use.READY)


def test_guests_of_a_host_that_is_back_are_asked_at_once(
    open_rig: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their agents came while nobody heard it; how long a pool waits unheard is not waited for."""
    rig = open_rig().fill(1)
    monkeypatch.setattr(preparation, "RECHECK", 600.0)
    monkeypatch.setattr(rig.preparation, "hear", lambda name: None)
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: rig.preparation.due(0)[1] is not None)
    rig.health.note_failure(HOST, errors.HostUnavailable("for a moment"))
    rig.wait_for("pool-1", Use.READY)


def test_a_desktop_goes_to_the_image_of_its_collection(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    newer = rig.store.add_image(rig.images.resolve("image:tiny"))
    settings = rig.store.find_provisioning(POOL)
    assert settings
    rig.store.set_provisioning(POOL, replace(settings, image=newer.reference))
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: rig.use("pool-1").use is Use.READY)
    desktop = rig.store.find_desktop("pool-1")
    assert desktop
    assert (desktop.image, desktop.generation) == (newer.reference, 2)
    assert rig.files() == ["pool-1.2.qcow2"]
    assert rig.orphans() == []


def test_an_update_finds_the_generation_that_it_counted_on(open_rig: Opened) -> None:
    """A pool that is about to turn a desktop to another image leaves that to the update."""
    faults, hold, held = Faults(), threading.Event(), threading.Event()
    rig = open_rig(wrap_host=faults.wrap).fill(1)
    second = rig.store.add_image(rig.images.resolve("image:tiny"))
    settings = rig.store.find_provisioning(POOL)
    assert settings
    rig.store.set_provisioning(POOL, replace(settings, image=second.reference))
    resolve = rig.images.resolve

    def wait(location: str) -> ImageVersion:
        if location.endswith("@2") and not held.is_set():
            held.set()
            hold.wait(60)
        return resolve(location)

    rig.images.resolve = wait  # type: ignore[method-assign]  # preparing takes long
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    assert held.wait(60)
    rig.store.add_image(replace(second, sha256="0" * 64))
    times = rigs.now(), rigs.now() + timedelta(hours=1)
    rig.patching.schedule(POOL, *times, render_job(later(JobAction.PATCH)))
    guid = rig.patch().guid
    rig.wait_until(lambda: len(rig.store.list_job_desktops(guid)) == 1)
    generations: list[int] = []

    def note(call: str, vm: str) -> None:
        desktop = rig.store.find_desktop("pool-1")
        if call == "create_disk" and desktop:
            generations.append(desktop.generation)

    faults.before = note
    hold.set()
    assert rig.wait(guid).succeeded == 1
    rig.wait_for("pool-1", Use.READY)
    assert set(generations) == {1}  # else the update finds its disk made, with another image
    desktop = rig.store.find_desktop("pool-1")
    assert desktop
    assert (desktop.image, desktop.generation) == ("tiny@3", 2)
    assert rig.files() == ["pool-1.2.qcow2"]


def test_settings_and_members_that_change_are_noticed(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    collections = Collections(rig.store, rig.hosts, rig.uses)
    collections.subscribe(rig.pools.note_collection)
    collections.subscribe(rig.watch.note_collection)
    simulator.add_stranger(rig.simulator, HOST, "lonely", running=False)
    collections.add_virtual_desktop(POOL, "lonely")
    assert "was not made by this service" in rig.wait_for("lonely", Use.QUARANTINED).reason
    delay = '<Farm><Metadata Name="SaveDelay" Value="0" /></Farm>'
    collections.modify(POOL, vm_farm_settings=delay)
    rig.wait_until(lambda: rig.use("pool-1").saved)


def test_a_desktop_that_leaves_while_it_is_prepared_can_be_deleted(open_rig: Opened) -> None:
    hold, held = threading.Event(), threading.Event()
    rig = open_rig().fill(1)
    resolve = rig.images.resolve

    def wait(location: str) -> ImageVersion:
        if not held.is_set():
            held.set()
            hold.wait(60)
        return resolve(location)

    rig.images.resolve = wait  # type: ignore[method-assign]  # preparing takes long
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    assert held.wait(60)
    guid = rig.execute(later(JobAction.DELETE))
    rig.wait_until(lambda: rig.use("pool-1").claim == guid)
    Collections(rig.store, rig.hosts, rig.uses).remove_virtual_desktop(POOL, "pool-1")
    hold.set()
    assert rig.wait(guid).succeeded == 1
    assert (rig.vms(), rig.files()) == ({}, [])


def test_a_pool_lets_go_although_records_could_not_be_written(
    open_rig: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_PAUSE", 0.2)
    rig = open_rig().fill(1)
    resolve, change, failures = rig.images.resolve, rig.uses.change, 3

    def fail(*args: Any) -> list[DesktopUse]:
        nonlocal failures
        if failures:
            failures -= 1
            raise errors.OperationFailed("records: the disk is full")
        return change(*args)

    def spoil(location: str) -> ImageVersion:
        rig.images.resolve = resolve  # type: ignore[method-assign]  # once
        rig.uses.change = fail  # type: ignore[method-assign]  # as when the disk is full
        raise errors.OperationFailed("no such image")

    rig.images.resolve = spoil  # type: ignore[method-assign]  # the first preparation fails
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: failures == 0)
    rig.wait_until(lambda: rig.use("pool-1").failures == 1)


def test_records_that_are_away_are_no_failure_of_a_desktop(open_rig: Opened) -> None:
    rig = open_rig().fill(1)
    resolve, failures = rig.images.resolve, 2 * MOST_FAILURES

    def fail(location: str) -> ImageVersion:
        nonlocal failures
        if failures:
            failures -= 1
            raise errors.RecordsUnavailable("records: no answer")
        return resolve(location)

    rig.images.resolve = fail  # type: ignore[method-assign]
    rig.uses.move(["pool-1"], Use.UNREADY, of={Use.READY})
    rig.wait_until(lambda: failures == 0)
    assert rig.wait_for("pool-1", Use.READY).failures == 0
    assert not rig.pools.stopped(POOL)


def test_members_of_a_personal_collection_are_whoevers_is_on_them(open_rig: Opened) -> None:
    rig = open_rig()
    rig.add_collection(kind=CollectionType.MANUAL_PERSONAL, managed=False)
    collections = Collections(rig.store, rig.hosts, rig.uses)
    collections.subscribe(rig.watch.note_collection)
    simulator.add_stranger(rig.simulator, HOST, "mine", running=True)
    collections.add_virtual_desktop(POOL, "mine")
    assert rig.wait_for("mine", Use.TAKEN).holder.endswith("\\alice")
    rig.log_off("mine")
    rig.wait_for("mine", Use.READY)
