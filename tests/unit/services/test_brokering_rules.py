"""Whatever users, pools and jobs do in whatever order: nobody gets what another has or had."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fakes.brokering_rig import PlainPools
from fakes.new_records import open_records
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import DiskKind, VmInfo, VmState
from openrdms.services.access import Access, Person
from openrdms.services.brokering import Brokering, Connection, Parts, User
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts

DESKTOPS = [f"vd-{number}" for number in range(4)]
USERS = ["ann", "bob", "eve", "joe", "kim", "zoe"]
SOMEBODY = Person(frozenset(), is_administrator=True)


def now() -> datetime:
    return datetime.now(UTC)


def as_user(name: str) -> User:
    return User(name, "CORP", SOMEBODY)


class PlainHost:
    """Everything on it runs, and every guest answers."""

    name = "host1"
    tells_sessions = True

    def __init__(self) -> None:
        self.uuids = {name: uuid4() for name in DESKTOPS}

    def subscribe(self, callback: object) -> object:
        return lambda: None

    def find_vm(self, name: str) -> VmInfo:
        return VmInfo(name, self.name, self.uuids[name], VmState.RUNNING, 256, 1)

    def guest(self, vm: str) -> PlainHost:
        return self

    def ping(self, timeout: float) -> None:
        pass

    def list_sessions(self, timeout: float) -> list[object]:
        return []


class PlainWatch:
    """Has looked at everything, and nobody was on it."""

    def is_checked(self, collection: str) -> bool:
        return True

    def confirm(self, use: DesktopUse) -> bool:
        return True


class Office:
    """Desktops, and who was on which since it was made fresh: the truth, beside all records."""

    def __init__(self, directory: Path, kind: CollectionType = CollectionType.POOLED) -> None:
        host = PlainHost()
        self.store = open_records(directory / "records.sqlite")
        self.store.create_collection(Collection("pool", "Pool", kind, is_managed=True))
        self.store.put_desktops(
            Desktop(
                *(name, host.name, uuid, "", "pool", "pool", "tiny@1", DiskKind.LINKED),
                *(1, DesktopStatus.SUCCESS),
            )
            for name, uuid in host.uuids.items()
        )
        hosts = Hosts([host])  # type: ignore[list-item]
        self.uses = DesktopUses(self.store, now)
        self.brokering = Brokering(
            Parts(
                store=self.store,
                hosts=hosts,
                uses=self.uses,
                access=Access(self.store, None),  # type: ignore[arg-type]
                health=HostHealth(hosts, now),
                tokens=None,  # type: ignore[arg-type]  # nothing is off
                watch=PlainWatch(),  # type: ignore[arg-type]
                pools=PlainPools(),
                clock=now,
                identify=lambda _name: None,
            )
        )
        self.touched: dict[str, str] = {}
        self.lock = threading.Lock()

    def connect(self, name: str) -> str:
        """The desktop that he gets, on which no other was since it was made fresh; "" for none."""
        answer = self.brokering.connect(as_user(name), "pool")
        if not isinstance(answer, Connection):
            return ""
        with self.lock:
            assert self.touched.setdefault(answer.desktop, name) == name
        return answer.desktop

    def has_waiting(self) -> bool:
        return any(self.brokering.is_waiting(as_user(name), "pool") for name in USERS)

    def note_logon(self, desktop: str) -> None:
        self.uses.change([desktop], lambda one: replace(one, seen=True))

    def log_off(self, desktop: str) -> bool:
        return bool(self.uses.move([desktop], Use.UNREADY, of=[Use.TAKEN]))

    def reset(self, desktop: str) -> None:
        if self.uses.move([desktop], Use.PREPARING, of=[Use.UNREADY]):
            with self.lock:
                self.touched.pop(desktop, None)
            self.uses.move([desktop], Use.READY, of=[Use.PREPARING])


class Brokered(RuleBasedStateMachine):
    """One step after the other, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.office = Office(Path(self.directory.name))

    def teardown(self) -> None:
        self.office.store.close()
        self.directory.cleanup()

    @rule(name=st.sampled_from(USERS))
    def connect(self, name: str) -> None:
        held = self.office.store.find_held("pool", name)
        got = self.office.connect(name)
        if held:
            assert got == held.name

    @rule(desktop=st.sampled_from(DESKTOPS))
    def log_on(self, desktop: str) -> None:
        use = self.office.store.find_use(desktop)
        if use and use.use is Use.TAKEN:
            self.office.note_logon(desktop)

    @rule(desktop=st.sampled_from(DESKTOPS), name=st.sampled_from(USERS))
    def log_on_unasked(self, desktop: str, name: str) -> None:
        holder = f"CORP\\{name}"
        of = [Use.READY, Use.UNREADY]
        if self.office.uses.move([desktop], Use.TAKEN, of=of, holder=holder, seen=True):
            self.office.touched[desktop] = name

    @rule(desktop=st.sampled_from(DESKTOPS))
    def log_off(self, desktop: str) -> None:
        self.office.log_off(desktop)

    @rule(name=st.sampled_from(USERS))
    def release(self, name: str) -> None:
        self.office.brokering.release(as_user(name), "pool")

    @rule(desktop=st.sampled_from(DESKTOPS))
    def reset(self, desktop: str) -> None:
        self.office.reset(desktop)

    @rule(desktop=st.sampled_from(DESKTOPS))
    def begin_work(self, desktop: str) -> None:
        of = [Use.READY, Use.UNREADY, Use.TAKEN]
        self.office.uses.move([desktop], Use.WORK, of=of, claim="{job}")

    @rule(desktop=st.sampled_from(DESKTOPS))
    def end_work(self, desktop: str) -> None:
        self.office.uses.move([desktop], Use.UNREADY, of=[Use.WORK], claim="")

    @invariant()
    def each_has_one_and_nobody_anothers(self) -> None:
        uses = self.office.store.list_uses("pool")
        asked = [use.holder for use in uses if use.asked]
        assert len(asked) == len(set(asked))
        for use in uses:
            assert bool(use.holder) is (use.use is Use.TAKEN)
            if use.use is Use.READY:
                assert use.name not in self.office.touched or self.is_just_served(use)

    def is_just_served(self, use: DesktopUse) -> bool:
        """Read before, and given since by the thread that serves the line."""
        after = self.office.store.find_use(use.name)
        return after is not None and after.use is Use.TAKEN

    @invariant()
    def who_is_first_is_served(self) -> None:
        """Nobody waits long while a desktop is ready."""
        office = self.office
        deadline = time.monotonic() + 20
        while office.store.count_uses("pool").get(Use.READY) and office.has_waiting():
            assert time.monotonic() < deadline
            time.sleep(0.001)


TestBrokered = Brokered.TestCase
TestBrokered.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_many_threads_at_once(tmp_path: Path) -> None:
    office = Office(tmp_path)
    for desktop in DESKTOPS:
        office.reset(desktop)
    end = time.monotonic() + 3
    visits: list[str] = []

    def live(name: str) -> None:
        while time.monotonic() < end:
            desktop = office.connect(name)
            if desktop:
                office.note_logon(desktop)
                with office.lock:
                    assert office.touched[desktop] == name
                visits.append(desktop)
                assert office.log_off(desktop)
            time.sleep(0.001)

    def reset(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end:
            office.reset(chance.choice(DESKTOPS))
            time.sleep(0.001)

    with ThreadPoolExecutor() as threads:
        tasks = [threads.submit(live, name) for name in USERS]
        tasks += [threads.submit(reset, seed) for seed in range(2)]
        for task in tasks:
            task.result()
    assert len(set(visits)) > 1
    office.store.close()
