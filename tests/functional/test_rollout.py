"""Updates with two clocks and in waves: who waits for whom, and what stops them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.provisioning_rig import FAST, POOL, Faults, Rig, create, later, now
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.collection import CollectionState
from openrdms.model.desktop_use import Use
from openrdms.model.job import JobAction
from openrdms.model.patch import PatchState
from openrdms.model.provisioning import JobDocument, render_job
from openrdms.model.reason import ReasonCode
from openrdms.model.rollout import ALL, Share
from openrdms.services import patching
from openrdms.services.provisioning import rollout
from openrdms.services.session_watch import SessionWatch

HOST = "host1.sim.local"
HOST2 = "host2.sim.local"
EMPTY = f"{FAST}&users=0&copy_ms=1"
NAMES = ["pool-1", "pool-2", "pool-3", "pool-4"]
DAY = 86_400.0
BOOT_S = 5.0
"""For a guest that will not answer; others need some milliseconds."""


class Pool:
    """A collection of four running desktops on one host, and who is logged on there."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.faults = Faults()
        self.rig = Rig(directory, EMPTY, wrap_host=self.faults.wrap, **options)
        self.watch = SessionWatch(
            self.rig.store, self.rig.hosts, self.rig.health, self.rig.uses, now
        )
        self.rig.resume()
        self.watch.start()

    def fill(self, count: int = 4) -> None:
        self.rig.add_collection()
        self.rig.run(create([(HOST, count)]))
        tiny = self.rig.images.resolve("image:tiny")
        self.rig.store.add_image(replace(tiny, sha256="0" * 64))

    def close(self) -> None:
        self.watch.close()
        self.rig.close()

    def log_on(self, name: str, user: str = "ada") -> None:
        simulator.log_on(self.rig.simulator, HOST, name, user)
        self.rig.wait_until(lambda: self.use(name) is Use.TAKEN)

    def log_off(self, name: str, user: str = "ada") -> None:
        simulator.log_off(self.rig.simulator, HOST, name, user)

    def break_image(self, kind: str) -> None:
        simulator.set_image_fault(self.rig.simulator, "tiny@2", kind)

    def update(self, force: float = DAY, **fields: Any) -> str:
        """Begin an update to the newest version; users may stay for ``force`` seconds."""
        document: JobDocument = later(JobAction.PATCH, **fields)
        times = now(), now() + timedelta(seconds=force)
        self.rig.patching.schedule(POOL, *times, render_job(document))
        guid = self.rig.patch().guid
        self.rig.wait_until(lambda: self.rig.store.find_job(guid) is not None)
        return guid

    def use(self, name: str) -> Use:
        use = self.rig.store.find_use(name)
        assert use is not None
        return use.use

    def images(self) -> dict[str, str]:
        """What the simulator runs each desktop from: its image by the disk that it uses."""
        return {vm["name"]: vm["disks"][0].split(".")[-2] for vm in self._vms()}

    def users(self, name: str) -> list[str]:
        return [one["user"] for one in self._vm(name)["sessions"]]

    def messages(self, name: str) -> list[str]:
        return [m["text"] for one in self._vm(name)["sessions"] for m in one["messages"]]

    def states(self) -> dict[str, str]:
        return {vm["name"]: vm["state"] for vm in self._vms()}

    def waits(self, guid: str) -> dict[str, ReasonCode]:
        return {
            desktop.name: ReasonCode(desktop.code)
            for desktop in self.rig.report(guid).desktops
            if desktop.status == "Pending" and desktop.code
        }

    def order(self) -> list[str]:
        """Desktops in the order in which their disks were exchanged."""
        made = [vm for call, vm in self.faults.calls if call == "define"]
        return list(dict.fromkeys(made[len(self.images()) :]))

    def _vm(self, name: str) -> dict[str, Any]:
        return next(vm for vm in self._vms() if vm["name"] == name)

    def _vms(self) -> list[dict[str, Any]]:
        return [vm for host in self.rig.truth()["hosts"] for vm in host["vms"]]


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(**options: Any) -> Pool:
        made.append(Pool(tmp_path, **options))
        made[-1].fill()
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool()


def test_free_ones_are_updated_and_the_others_at_logoff(pool: Pool) -> None:
    pool.log_on("pool-2")
    guid = pool.update()
    rig = pool.rig
    rig.wait_until(lambda: list(pool.images().values()).count("2") == 3)
    rig.wait_until(lambda: [pool.use(name) for name in NAMES].count(Use.READY) == 3)
    rig.wait_until(lambda: pool.waits(guid) == {"pool-2": ReasonCode.USER_LOGGED_ON})
    assert pool.users("pool-2") == ["ada"]
    assert rig.patch().state is PatchState.UPDATE_STARTED
    pool.log_off("pool-2")
    report = rig.wait(guid)
    assert (report.state, report.succeeded) == (CollectionState.JOB_COMPLETED, 4)
    assert set(pool.images().values()) == {"2"}
    assert [desktop.image for desktop in rig.store.list_desktops()] == ["tiny@2"] * 4
    assert rig.orphans() == []


def test_off_ones_first_then_spares_and_a_wave_waits_for_the_one_before(pool: Pool) -> None:
    rig = pool.rig
    pool.log_on("pool-1")
    rig.hosts.get(HOST).destroy("pool-4")
    guid = pool.update(waves=(Share(1), Share(75, percent=True), ALL), max_unavailable=Share(1))
    rig.wait_until(lambda: len(pool.order()) == 3)
    assert pool.order() == ["pool-4", "pool-2", "pool-3"]
    rig.wait_until(lambda: pool.waits(guid) == {"pool-1": ReasonCode.USER_LOGGED_ON})
    pool.log_off("pool-1")
    assert rig.wait(guid).succeeded == 4
    assert pool.states() == dict.fromkeys(NAMES[:3], "running") | {"pool-4": "stopped"}


def test_wave_of_desktops_that_are_off_starts_one_to_try(pool: Pool) -> None:
    for name in NAMES:
        pool.rig.hosts.get(HOST).destroy(name)
    pool.faults.calls.clear()
    report = pool.rig.wait(pool.update(waves=(Share(1), ALL), max_unavailable=ALL))
    assert report.succeeded == 4
    started = [vm for call, vm in pool.faults.calls if call == "start"]
    assert len(started) == 2  # one in each wave
    assert set(pool.states().values()) == {"stopped"}
    assert [desktop.note for desktop in report.desktops] == [""] * 4
    assert {pool.use(name) for name in NAMES} == {Use.UNREADY}


def test_records_that_are_away_while_one_is_tried_fail_no_wave(pool: Pool) -> None:
    for name in NAMES:
        pool.rig.hosts.get(HOST).destroy(name)
    pool.faults.before = _lose_records("start")
    assert pool.rig.wait(pool.update(waves=(ALL,), max_unavailable=ALL)).succeeded == 4


def _lose_records(at: str) -> Callable[[str, str], None]:
    """As a host asks whether it may still be used; twice."""
    calls = iter(range(2))

    def lose(call: str, _vm: str) -> None:
        if call == at and next(calls, None) is not None:
            raise errors.RecordsUnavailable("records: no answer")

    return lose


def test_who_is_to_be_logged_off_is_so_once_records_are_back(pool: Pool) -> None:
    pool.log_on("pool-2")
    pool.faults.before = _lose_records("log_off")
    assert pool.rig.wait(pool.update(force=0)).succeeded == 4
    assert pool.faults.calls.count(("log_off", "pool-2")) == 3


def test_never_more_in_work_than_may_be(pool: Pool) -> None:
    most = 0

    def count(call: str, vm: str) -> None:
        nonlocal most
        most = max(most, [pool.use(name) for name in NAMES].count(Use.WORK))

    pool.faults.before = count
    assert pool.rig.wait(pool.update(max_unavailable=Share(2))).succeeded == 4
    assert most == 2


@pytest.mark.parametrize(("use", "holder"), [(Use.TAKEN, "CORP\\ada"), (Use.PREPARING, "")])
def test_what_was_free_a_moment_ago_is_not_taken(pool: Pool, use: Use, holder: str) -> None:
    """Somebody gets a desktop while it stands in line for its update, and is not logged on yet."""
    rig, hold, held = pool.rig, threading.Event(), threading.Event()

    def wait(call: str, vm: str) -> None:
        if call == "create_disk" and not held.is_set():
            held.set()
            hold.wait(60)

    pool.faults.before = wait
    guid = pool.update(max_unavailable=Share(1))
    assert held.wait(60)
    rig.uses.move(["pool-4"], use, of={Use.READY}, holder=holder)
    pool.faults.before = lambda call, vm: None
    hold.set()
    rig.wait_until(lambda: [pool.use(name) for name in NAMES[:3]] == [Use.READY] * 3)
    rig.wait_until(lambda: list(pool.waits(guid)) == ["pool-4"])
    time.sleep(0.3)
    assert (pool.use("pool-4"), pool.images()["pool-4"]) == (use, "1")
    rig.uses.move(["pool-4"], Use.READY, of={use})
    assert rig.wait(guid).succeeded == 4


def test_what_its_record_says_does_not_keep_a_free_one_from_its_update(pool: Pool) -> None:
    """An identity that is set, or a status: nobody is told of it, and nobody gets it by that."""
    rig, hold, held = pool.rig, threading.Event(), threading.Event()

    def wait(call: str, vm: str) -> None:
        if call == "create_disk" and not held.is_set():
            held.set()
            hold.wait(60)

    pool.faults.before = wait
    guid = pool.update(max_unavailable=Share(1))
    assert held.wait(60)
    rig.store.change_desktop("pool-4", lambda one: one and replace(one, identity_set=False))
    hold.set()
    assert rig.wait(guid).succeeded == 4


def test_users_are_told_and_logged_off_at_force_time(pool: Pool) -> None:
    pool.log_on("pool-2")
    rig, states = pool.rig, []

    def look(call: str, vm: str) -> None:
        if call == "log_off":
            states.append((vm, rig.patch().state))

    pool.faults.before = look
    guid = pool.update(force=8)
    rig.wait_until(lambda: len(pool.messages("pool-2")) > 0)
    assert ["1 minute" in text for text in pool.messages("pool-2")] == [True]
    assert (pool.messages("pool-1"), pool.users("pool-2")) == ([], ["ada"])
    rig.wait_until(lambda: rig.job(guid).options.get("notified") == 1)
    report = rig.wait(guid)
    assert (report.state, report.succeeded) == (CollectionState.JOB_COMPLETED, 4)
    assert pool.users("pool-2") == []
    assert states == [("pool-2", PatchState.FORCE_LOGOFF_STARTED)]
    assert rig.patch().state is PatchState.UPDATE_COMPLETE


def test_without_time_between_the_clocks_nobody_is_asked(pool: Pool) -> None:
    pool.log_on("pool-2")
    assert pool.rig.wait(pool.update(force=0)).succeeded == 4
    assert ("send_message", "pool-2") not in pool.faults.calls


def test_silent_guest_counts_as_occupied_until_it_says_otherwise(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is logged on to it, and nothing tells that its guest answers again."""
    monkeypatch.setattr(rollout, "_ASK_AGAIN_SECONDS", 0.5)
    simulator.set_fault(pool.rig.simulator, HOST, "pool-3", "silent")
    guid = pool.update()
    pool.rig.wait_until(lambda: list(pool.images().values()).count("2") == 3)
    pool.rig.wait_until(lambda: pool.waits(guid) == {"pool-3": ReasonCode.USER_LOGGED_ON})
    simulator.set_fault(pool.rig.simulator, HOST, "pool-3", "")
    assert pool.rig.wait(guid).succeeded == 4


@pytest.mark.parametrize(
    ("kind", "probe", "code"),
    [
        ("no-agent", "", ReasonCode.BOOT_TIMED_OUT),
        ("probe", "systemctl is-system-running", ReasonCode.PROBE_FAILED),
    ],
)
def test_broken_image_is_stopped_by_its_first_wave(
    make_pool: Callable[..., Pool], kind: str, probe: str, code: ReasonCode
) -> None:
    pool = make_pool(boot_deadline=BOOT_S)
    pool.break_image(kind)
    pool.log_on("pool-4")
    guid = pool.update(waves=(Share(1), ALL), probe=probe)
    report = pool.rig.wait(guid)
    assert report.state is CollectionState.UPDATE_FAILED
    assert pool.order() == ["pool-1"]
    assert [d.code for d in report.desktops if d.status == "Failed"] == [code]
    assert set(pool.images().values()) == {"1"}
    assert set(pool.states().values()) == {"running"}
    assert pool.users("pool-4") == ["ada"]
    assert {d.image for d in pool.rig.store.list_desktops()} == {"tiny@1"}
    assert [pool.use(name) for name in NAMES] == [Use.UNREADY, Use.READY, Use.READY, Use.TAKEN]
    assert pool.rig.patch().state is PatchState.UPDATE_FAILED
    assert pool.rig.files() == [f"{name}.1.qcow2" for name in NAMES]
    assert pool.rig.orphans() == []


def test_desktop_whose_probe_fails_says_so_while_it_is_asked_again(
    make_pool: Callable[..., Pool],
) -> None:
    pool = make_pool(boot_deadline=BOOT_S)
    pool.break_image("probe")
    guid = pool.update(waves=(Share(1), ALL), probe="test -e /ok")
    pool.rig.wait_until(
        lambda: any(
            desktop.code == ReasonCode.PROBE_AWAITED and "asks again" in desktop.reason
            for desktop in pool.rig.report(guid).desktops
        )
    )
    assert pool.rig.wait(guid).state is CollectionState.UPDATE_FAILED


def test_later_wave_that_fails_takes_back_what_nobody_has(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(boot_deadline=BOOT_S)
    rig = pool.rig
    pool.log_on("pool-4", "bob")
    guid = pool.update(waves=(Share(2), ALL), max_unavailable=Share(2))
    rig.wait_until(lambda: pool.use("pool-3") is Use.READY and pool.images()["pool-3"] == "2")
    pool.log_on("pool-2", "eve")
    pool.break_image("no-agent")
    pool.log_off("pool-4", "bob")
    report = rig.wait(guid)
    assert report.state is CollectionState.UPDATE_FAILED
    assert pool.images() == dict.fromkeys(NAMES, "1") | {"pool-2": "2"}
    assert pool.users("pool-2") == ["eve"]
    notes = {desktop.name: desktop.note for desktop in report.desktops}
    assert "logged off" in notes["pool-2"]
    assert {d.name: d.image for d in rig.store.list_desktops()} == (
        dict.fromkeys(NAMES, "tiny@1") | {"pool-2": "tiny@2"}
    )
    assert Use.READY not in {pool.use(name) for name in NAMES}
    assert rig.orphans() == []


def test_who_logged_on_unheard_keeps_what_a_failed_update_takes_back(
    make_pool: Callable[..., Pool],
) -> None:
    """Guests are asked once more, as before each update."""
    pool = make_pool(boot_deadline=BOOT_S)
    rig = pool.rig
    pool.log_on("pool-4", "bob")
    guid = pool.update(waves=(Share(2), ALL), max_unavailable=Share(2))
    rig.wait_until(lambda: pool.use("pool-3") is Use.READY and pool.images()["pool-3"] == "2")
    pool.watch.close()
    simulator.log_on(rig.simulator, HOST, "pool-1", "eve")
    simulator.set_fault(rig.simulator, HOST, "pool-2", "silent")
    pool.break_image("no-agent")
    pool.log_off("pool-4", "bob")
    rig.uses.move(["pool-4"], Use.UNREADY, of={Use.TAKEN})
    assert rig.wait(guid).state is CollectionState.UPDATE_FAILED
    assert pool.images() == dict.fromkeys(NAMES, "1") | {"pool-1": "2", "pool-2": "2"}
    assert pool.users("pool-1") == ["eve"]
    assert (pool.use("pool-1"), pool.use("pool-2")) == (Use.TAKEN, Use.READY)
    assert rig.orphans() == []


def test_cancel_while_all_wait_changes_nothing(pool: Pool) -> None:
    for name in NAMES:
        pool.log_on(name)
    guid = pool.update()
    pool.rig.wait_until(lambda: len(pool.waits(guid)) == 4)
    pool.rig.patching.cancel(POOL)
    assert pool.rig.wait(guid).state is CollectionState.UPDATE_CANCELLED
    assert set(pool.images().values()) == {"1"}
    assert [pool.users(name) for name in NAMES] == [["ada"]] * 4
    assert {pool.use(name) for name in NAMES} == {Use.TAKEN}


def test_cancel_between_waves_keeps_what_is_done(pool: Pool) -> None:
    pool.log_on("pool-4")
    guid = pool.update(waves=(Share(75, percent=True), ALL))
    pool.rig.wait_until(lambda: pool.waits(guid) == {"pool-4": ReasonCode.USER_LOGGED_ON})
    pool.rig.patching.cancel(POOL)
    report = pool.rig.wait(guid)
    assert report.state is CollectionState.UPDATE_CANCELLED
    assert sorted(pool.images().values()) == ["1", "2", "2", "2"]
    assert pool.use("pool-1") is Use.READY
    assert pool.rig.orphans() == []


def test_cancel_while_one_is_in_work_takes_it_back(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(boot_deadline=600.0)
    pool.break_image("no-agent")
    guid = pool.update(max_unavailable=Share(1))
    pool.rig.wait_until(lambda: "2" in pool.images().values())
    pool.rig.patching.cancel(POOL)
    assert pool.rig.wait(guid).state is CollectionState.UPDATE_CANCELLED
    assert set(pool.images().values()) == {"1"}
    assert [pool.use(name) for name in NAMES].count(Use.UNREADY) == 1
    assert pool.rig.orphans() == []


def test_any_version_that_is_kept_can_be_gone_back_to(pool: Pool) -> None:
    rig = pool.rig
    assert rig.wait(pool.update(max_unavailable=ALL)).succeeded == 4
    assert {desktop.image for desktop in rig.store.list_desktops()} == {"tiny@2"}
    back = pool.update(base_vm_location="image:tiny@1", max_unavailable=ALL)
    assert rig.wait(back).succeeded == 4
    assert {desktop.image for desktop in rig.store.list_desktops()} == {"tiny@1"}
    settings = rig.store.find_provisioning(POOL)
    assert settings is not None
    assert settings.image == "tiny@1"


def test_host_that_is_away_holds_up_no_other_update(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own is tried again, with one record in the audit log."""
    monkeypatch.setattr(patching, "_PAUSE", 300.0)
    rig = pool.rig
    rig.add_collection("Other")
    rig.run(create([(HOST2, 1)], collection="Other", name_prefix="other-"))
    refused = rig.provisioning.execute_patch
    away: list[str] = []

    def refuse(patch: Any) -> None:
        if patch.collection == POOL:
            away.append(patch.guid)
            raise errors.HostUnavailable("host1 is away")
        refused(patch)

    rig.provisioning.execute_patch = refuse  # type: ignore[method-assign]  # the host is away
    start = now()
    rig.patching.schedule(POOL, start, start, render_job(later(JobAction.PATCH)))
    rig.wait_until(lambda: len(away) == 1)
    other = render_job(later(JobAction.PATCH, collection="Other"))
    rig.patching.schedule("Other", start, start, other)
    patch = rig.patching.find("Other")
    assert patch is not None
    rig.wait_until(lambda: rig.store.find_job(patch.guid) is not None)
    assert rig.wait(patch.guid).state is CollectionState.JOB_COMPLETED
    assert rig.patch().state is PatchState.SUBMITTED
    assert len(away) == 1


class Spread:
    """A pool on several hosts, of which some are lost when something is done to their desktops."""

    def __init__(self, directory: Path, *hosts: tuple[str, int]) -> None:
        self.directory = directory
        self.faults = Faults()
        self.rig = Rig(directory, EMPTY, wrap_host=self.faults.wrap).resume()
        self.rig.add_collection()
        self.rig.run(create(hosts))
        self.rig.store.add_image(replace(self.rig.images.resolve("image:tiny"), sha256="0" * 64))

    def lose(self, *hosts: str) -> None:
        """Have each go away when the first disk is exchanged there."""
        where = {one.name: one.host for one in self.rig.store.list_desktops()}

        def fail(call: str, vm: str) -> None:
            if call == "define" and where[vm] in hosts:
                self.fault(where[vm], "down")

        self.faults.before = fail

    def bring_back(self, *hosts: str) -> None:
        self.faults.before = lambda call, vm: None
        for host in hosts:
            self.fault(host, "")

    def fault(self, host: str, fault: str) -> None:
        simulator.set_fault(self.rig.simulator, host, fault=fault)

    def restart(self, *back: str) -> None:
        """``back`` are hosts that come back meanwhile."""
        self.rig.close()
        self.bring_back(*back)
        self.rig = Rig(self.directory, EMPTY, wrap_host=self.faults.wrap).resume()

    def update(self, **fields: Any) -> str:
        start = now()
        document = render_job(later(JobAction.PATCH, **fields))
        self.rig.patching.schedule(POOL, start, start + timedelta(days=1), document)
        guid = self.rig.patch().guid
        self.rig.wait_until(lambda: self.rig.store.find_job(guid) is not None)
        return guid

    def names(self, host: str) -> set[str]:
        return {one.name for one in self.rig.store.list_desktops() if one.host == host}

    def wait_ready(self, *names: str) -> None:
        """Until they have the new image and are handed out."""

        def is_ready(name: str) -> bool:
            desktop, use = self.rig.store.find_desktop(name), self.rig.store.find_use(name)
            return bool(desktop and use and desktop.image == "tiny@2" and use.use is Use.READY)

        self.rig.wait_until(lambda: all(map(is_ready, names)))

    def waiting(self, guid: str, code: ReasonCode = ReasonCode.HOST_AWAY) -> dict[str, str]:
        """What is told of those that wait for this."""
        told = self.rig.report(guid).desktops
        return {desktop.name: desktop.reason for desktop in told if desktop.code == code}


@pytest.fixture
def spread(tmp_path: Path) -> Iterator[Callable[..., Spread]]:
    made: list[Spread] = []

    def make(*hosts: tuple[str, int]) -> Spread:
        made.append(Spread(tmp_path, *hosts))
        return made[-1]

    yield make
    for one in made:
        one.rig.close()


def test_what_is_done_is_handed_out_while_a_host_is_away(spread: Callable[..., Spread]) -> None:
    """One is under way there, another would be next: both wait, the others do not."""
    pool = spread((HOST, 3), (HOST2, 2))
    there, away = pool.names(HOST), pool.names(HOST2)
    pool.lose(HOST2)
    guid = pool.update(max_unavailable=Share(4))
    pool.wait_ready(*there)
    pool.rig.wait_until(lambda: pool.waiting(guid).keys() == away)
    pool.bring_back(HOST2)
    assert pool.rig.wait(guid).succeeded == 5
    pool.wait_ready(*away)


def test_desktops_of_a_host_that_is_away_are_unavailable_but_stop_no_update(
    spread: Callable[..., Spread],
) -> None:
    """With them there are as many as may be: of the others one at a time is updated."""
    pool, most, hold = spread((HOST2, 2), (HOST, 4)), 0, threading.Event()
    there, away = pool.names(HOST), pool.names(HOST2)
    pool.lose(HOST2)
    lose = pool.faults.before

    def count(call: str, vm: str) -> None:
        nonlocal most
        lose(call, vm)
        if call == "create_disk" and vm in there:
            hold.wait(60)
            uses = pool.rig.store.list_uses(names=there)
            most = max(most, [use.use for use in uses].count(Use.WORK))

    pool.faults.before = count
    guid = pool.update(max_unavailable=Share(1))
    pool.rig.wait_until(lambda: pool.waiting(guid).keys() == away)
    pool.rig.wait_until(lambda: len(pool.waiting(guid, ReasonCode.TOO_MANY_UNAVAILABLE)) == 3)
    words = f"as many desktops as may be are being updated; 2 cannot be reached on {HOST2}"
    too_many = ReasonCode.TOO_MANY_UNAVAILABLE
    pool.rig.wait_until(lambda: {*pool.waiting(guid, too_many).values()} == {words})
    hold.set()
    pool.wait_ready(*there)
    assert most == 1
    pool.bring_back(HOST2)
    assert pool.rig.wait(guid).succeeded == 6


def test_the_next_wave_begins_while_what_is_left_of_one_waits_for_its_host(
    spread: Callable[..., Spread],
) -> None:
    pool = spread((HOST2, 1), (HOST, 3))
    pool.lose(HOST2)
    guid = pool.update(waves=(Share(2), ALL), max_unavailable=Share(2))
    pool.wait_ready("pool-2", "pool-3", "pool-4")
    pool.rig.wait_until(lambda: pool.waiting(guid).keys() == {"pool-1"})
    pool.bring_back(HOST2)
    assert pool.rig.wait(guid).succeeded == 4
    assert pool.rig.orphans() == []


def test_no_wave_begins_before_one_of_the_last_came_out_well(spread: Callable[..., Spread]) -> None:
    pool = spread((HOST2, 1), (HOST, 2))
    pool.lose(HOST2)
    guid = pool.update(waves=(Share(1), ALL))
    pool.rig.wait_until(lambda: pool.waiting(guid).keys() == {"pool-1"})
    later_wave = f"waits until wave 1 is done and good; 1 cannot be reached on {HOST2}"
    told = {"pool-2": later_wave, "pool-3": later_wave}
    pool.rig.wait_until(lambda: pool.waiting(guid, ReasonCode.EARLIER_WAVE) == told)
    time.sleep(0.3)
    assert pool.waiting(guid, ReasonCode.EARLIER_WAVE) == told
    pool.bring_back(HOST2)
    assert pool.rig.wait(guid).succeeded == 3


def test_a_wave_in_hand_goes_on_after_a_restart_though_one_before_waits_again(
    spread: Callable[..., Spread],
) -> None:
    """The host that held up the first wave is back by then, and a user there."""
    pool = spread((HOST2, 1), (HOST, 1), ("host3.sim.local", 1))
    pool.rig.health.start()
    pool.fault(HOST2, "down")
    pool.rig.wait_until(lambda: pool.rig.health.is_away(HOST2))
    pool.lose("host3.sim.local")
    guid = pool.update(waves=(Share(2), ALL))
    pool.rig.wait_until(lambda: pool.waiting(guid).keys() == {"pool-1", "pool-3"})
    pool.rig.uses.move(["pool-1"], Use.TAKEN, of={Use.READY}, holder="CORP\\ada")
    pool.restart(HOST2, "host3.sim.local")
    pool.wait_ready("pool-2", "pool-3")
    pool.rig.wait_until(lambda: bool(pool.waiting(guid, ReasonCode.USER_LOGGED_ON)))
    pool.rig.uses.move(["pool-1"], Use.UNREADY, of={Use.TAKEN})
    assert pool.rig.wait(guid).succeeded == 3
