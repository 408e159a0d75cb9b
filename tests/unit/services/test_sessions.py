"""Sessions over hosts: who is asked, how long, which number, which error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_DNS, UUID, uuid5

import pytest

from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import (
    DiskKind,
    GuestSession,
    VmEvent,
    VmEventKind,
    VmInfo,
    VmState,
)
from openrdms.model.session import SessionKey
from openrdms.services.hosts import Hosts
from openrdms.services.sessions import Sessions

HOST = "host1.sim.local"
LOGON, IDLE = datetime(2026, 11, 21, 8, 30, tzinfo=UTC), timedelta(minutes=2)
ALICE = GuestSession("1", "boot/1", "alice", "", 0, client="192.0.2.7", since=LOGON, idle=IDLE)


@dataclass
class FakeGuest:
    sessions: list[GuestSession] = field(default_factory=lambda: [ALICE])
    silent: threading.Event | None = None
    shown: list[tuple[str, str]] = field(default_factory=list)
    refusal: Exception | None = None
    nonsense: Exception | None = None
    granted: list[float] = field(default_factory=list)
    thinks: float = 0.0
    thinking: threading.Event = field(default_factory=threading.Event)
    thought: threading.Event | None = None

    def list_sessions(self, timeout: float) -> list[GuestSession]:
        if self.silent:
            self.silent.wait(timeout + 5)
            raise errors.GuestUnreachable("silent")
        if self.nonsense:
            raise self.nonsense
        self.thinking.set()
        if self.thought:
            assert self.thought.wait(60)
        time.sleep(self.thinks)
        return self.sessions

    def send_message(self, session: GuestSession, title: str, text: str, timeout: float) -> None:
        if self.refusal:
            raise self.refusal
        assert session in self.sessions
        self.granted.append(timeout)
        self.shown.append((title, text))

    def log_off(self, session: GuestSession, timeout: float) -> None:
        self.sessions.remove(session)


@dataclass(eq=False)
class FakeHost:
    name: str = HOST
    vms: dict[str, VmInfo] = field(default_factory=dict)
    guests: dict[str, FakeGuest] = field(default_factory=dict)
    up: bool = True
    hear: Callable[[VmEvent], None] | None = None

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        self.hear = callback
        return lambda: None

    def add(self, name: str, guest: FakeGuest | None = None) -> FakeGuest:
        uuid = uuid5(NAMESPACE_DNS, f"{name}.{self.name}")
        self.vms[name] = VmInfo(name, self.name, uuid, VmState.RUNNING, 384, 1)
        self.guests[name] = guest or FakeGuest([replace(ALICE)])
        return self.guests[name]

    def list_vms(self) -> list[VmInfo]:
        if not self.up:
            raise errors.HostUnavailable(self.name)
        return list(self.vms.values())

    def find_vm(self, name: str) -> VmInfo | None:
        self.list_vms()
        return self.vms.get(name)

    def guest(self, vm: str) -> FakeGuest:
        return self.guests[vm]


@dataclass
class FakeStore:
    desktops: dict[str, Desktop] = field(default_factory=dict)
    ids: dict[tuple[str, SessionKey], int] = field(default_factory=dict)

    def record(self, host: FakeHost, name: str, collection: str = "pool") -> None:
        uuid = host.vms[name].uuid
        linked, status = DiskKind.LINKED, DesktopStatus.SUCCESS
        self.desktops[name] = Desktop(
            name, host.name, uuid, "", collection, collection, "tiny@1", linked, 1, status
        )

    def list_desktops(self) -> list[Desktop]:
        return list(self.desktops.values())

    def find_desktop(self, name: str) -> Desktop | None:
        return self.desktops.get(name)

    def session_ids(self, host: str, keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
        return {key: self.ids.setdefault((host, key), len(self.ids) + 1) for key in keys}

    def find_session(self, host: str, session_id: int) -> SessionKey | None:
        found = (
            key for (at, key), number in self.ids.items() if (at, number) == (host, session_id)
        )
        return next(found, None)


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def sessions(host: FakeHost, store: FakeStore) -> Sessions:
    return Sessions(store, Hosts([host]))


@pytest.fixture
def desk(host: FakeHost, store: FakeStore) -> FakeGuest:
    guest = host.add("desk-1")
    store.record(host, "desk-1")
    return guest


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_session_as_rdms_shows_it(sessions: Sessions, desk: FakeGuest) -> None:
    (found,) = sessions.list()
    assert (found.host, found.vm, found.collection) == (HOST, "desk-1", "pool")
    assert (found.user, found.domain, found.state, found.client) == ("alice", "", 0, "192.0.2.7")
    assert (found.since, found.idle) == (LOGON, IDLE)


def test_equal_guest_ids_on_one_host_get_numbers_of_their_own(
    host: FakeHost, store: FakeStore, sessions: Sessions, desk: FakeGuest
) -> None:
    host.add("desk-2")
    store.record(host, "desk-2")
    first, second = sessions.list()
    assert first.session_id != second.session_id
    assert {s.session_id for s in sessions.list()} == {first.session_id, second.session_id}


def test_number_of_an_ended_session_is_not_given_to_its_successor(
    sessions: Sessions, desk: FakeGuest
) -> None:
    (before,) = sessions.list()
    desk.sessions[:] = [replace(ALICE, key="boot-2/1")]
    (after,) = sessions.list()
    assert after.session_id != before.session_id
    with pytest.raises(errors.SessionGone):
        sessions.send_message(HOST, before.session_id, "", "to nobody")
    assert desk.shown == []


def test_silent_guest_neither_fails_nor_delays_the_others(
    host: FakeHost, store: FakeStore, sessions: Sessions, desk: FakeGuest, silence: threading.Event
) -> None:
    for number in range(20):
        host.add(f"silent-{number}", FakeGuest(silent=silence))
        store.record(host, f"silent-{number}")
    begun = time.monotonic()
    assert [session.vm for session in sessions.list()] == ["desk-1"]
    assert time.monotonic() - begun < 20  # one after the other they keep it for 40 s


def test_host_that_is_down_takes_only_its_own_sessions(
    host: FakeHost, store: FakeStore, desk: FakeGuest
) -> None:
    down = FakeHost("host2.sim.local")
    down.add("desk-2")
    store.record(down, "desk-2")
    down.up = False
    both = Sessions(store, Hosts([down, host]))
    assert [session.vm for session in both.list()] == ["desk-1"]
    store.ids["host2.sim.local", SessionKey("desk-2", down.vms["desk-2"].uuid, "boot/1")] = 9
    with pytest.raises(errors.GuestUnreachable):
        both.log_off("host2", 9)


def test_strangers_and_vms_that_took_a_desktops_name_are_not_entered(
    host: FakeHost, store: FakeStore, sessions: Sessions, desk: FakeGuest
) -> None:
    host.add("stranger")
    host.vms["desk-1"] = replace(host.vms["desk-1"], uuid=UUID(int=99))
    assert sessions.list() == []


@pytest.mark.parametrize("name", [HOST, "HOST1.Sim.Local", "host1"])
def test_host_is_named_short_or_full_in_any_case(
    sessions: Sessions, desk: FakeGuest, name: str
) -> None:
    (found,) = sessions.list()
    sessions.send_message(name, found.session_id, "Maintenance", "at 18:00")
    assert desk.shown == [("Maintenance", "at 18:00")]


def test_errors_tell_what_is_gone(host: FakeHost, sessions: Sessions, desk: FakeGuest) -> None:
    (found,) = sessions.list()
    for name, number in ((HOST, 999), ("nowhere", found.session_id)):
        with pytest.raises(errors.SessionGone):
            sessions.disconnect(name, number)
    sessions.log_off(HOST, found.session_id)
    with pytest.raises(errors.SessionGone):
        sessions.log_off(HOST, found.session_id)
    host.vms["desk-1"] = replace(host.vms["desk-1"], state=VmState.STOPPED)
    with pytest.raises(errors.VmNotRunning):
        sessions.log_off(HOST, found.session_id)
    del host.vms["desk-1"]
    with pytest.raises(errors.SessionGone):
        sessions.log_off(HOST, found.session_id)


def test_refusal_of_the_guest_is_access_denied(sessions: Sessions, desk: FakeGuest) -> None:
    (found,) = sessions.list()
    desk.refusal = errors.OperationFailed("no way to show it there")
    with pytest.raises(errors.SessionDenied, match="no way to show it"):
        sessions.send_message(HOST, found.session_id, "", "x")


def test_guest_that_breaks_us_takes_only_its_own_sessions(
    host: FakeHost, store: FakeStore, sessions: Sessions, desk: FakeGuest
) -> None:
    host.add("mad", FakeGuest(nonsense=IndexError("list index out of range")))
    store.record(host, "mad")
    assert [session.vm for session in sessions.list()] == ["desk-1"]


def test_guest_cannot_flood_the_list(sessions: Sessions, desk: FakeGuest) -> None:
    desk.sessions[:] = [replace(ALICE, key=f"boot/{number}") for number in range(1000)]
    assert len(sessions.list()) == 256


def test_finding_the_session_takes_from_the_time_to_act(
    sessions: Sessions, desk: FakeGuest
) -> None:
    (found,) = sessions.list()
    desk.thinks = 0.2
    sessions.send_message(HOST, found.session_id, "", "x")
    assert 0 < desk.granted[0] <= 19.8


def test_title_alone_is_shown_and_nothing_at_all_is_refused(
    sessions: Sessions, desk: FakeGuest
) -> None:
    (found,) = sessions.list()
    sessions.send_message(HOST, found.session_id, "Lunch", "")
    assert desk.shown == [("Lunch", "")]
    with pytest.raises(errors.SessionDenied, match="both empty"):
        sessions.send_message(HOST, found.session_id, "", "")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (errors.NotFound("the VM has gone"), errors.SessionGone),
        (errors.InvalidOperation("not now"), errors.SessionDenied),
        (errors.VmNotRunning("off"), errors.VmNotRunning),
    ],
)
def test_every_refusal_has_a_win32_code(
    sessions: Sessions, desk: FakeGuest, raised: Exception, expected: type[Exception]
) -> None:
    (found,) = sessions.list()
    desk.refusal = raised
    with pytest.raises(expected, match=str(raised)):
        sessions.send_message(HOST, found.session_id, "", "x")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"collection": "POOL"}, ["desk-1"]),
        ({"collection": ""}, ["desk-3"]),
        ({"vm": "DESK-2"}, ["desk-2"]),
        ({"vm": "desk-2", "collection": "pool"}, []),
        ({"vm": "nothing"}, []),
    ],
)
def test_only_the_guests_that_can_matter_are_entered(
    host: FakeHost,
    store: FakeStore,
    sessions: Sessions,
    desk: FakeGuest,
    wanted: dict[str, str],
    found: list[str],
) -> None:
    for name, collection in (("desk-2", "other"), ("desk-3", "")):
        host.add(name)
        store.record(host, name, collection)
    for name in {"desk-1", "desk-2", "desk-3"} - {*found}:
        host.guests[name].nonsense = AssertionError("was entered")
    assert [session.vm for session in sessions.list(**wanted)] == found


def test_what_a_list_of_sessions_saw_is_told_without_asking_again(
    sessions: Sessions, desk: FakeGuest
) -> None:
    assert sessions.last_seen(HOST, "desk-1") is None
    sessions.list()
    desk.nonsense = AssertionError("was asked")
    assert sessions.last_seen(HOST, "desk-1") == ("alice", 0)
    assert sessions.last_seen("host2.sim.local", "desk-1") is None


def test_who_has_logged_off_is_seen_no_more(sessions: Sessions, desk: FakeGuest) -> None:
    (found,) = sessions.list()
    sessions.log_off(HOST, found.session_id)
    assert sessions.last_seen(HOST, "desk-1") is None


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (VmEventKind.STOPPED, False),
        (VmEventKind.AGENT_DISCONNECTED, False),
        (VmEventKind.AGENT_CONNECTED, True),
    ],
)
def test_nobody_is_seen_in_a_vm_that_has_stopped(
    host: FakeHost, sessions: Sessions, desk: FakeGuest, kind: VmEventKind, known: bool
) -> None:
    sessions.list()
    assert host.hear is not None
    host.hear(VmEvent(kind, HOST, "desk-1"))
    assert (sessions.last_seen(HOST, "desk-1") is not None) is known


def test_who_was_there_before_a_stop_is_not_seen_by_a_list_that_ends_after_it(
    host: FakeHost, sessions: Sessions, desk: FakeGuest
) -> None:
    desk.thought = threading.Event()
    with ThreadPoolExecutor() as pool:
        listed = pool.submit(sessions.list)
        assert desk.thinking.wait(60)
        assert host.hear is not None
        host.hear(VmEvent(VmEventKind.STOPPED, HOST, "desk-1"))
        desk.thought.set()
        assert len(listed.result()) == 1
    assert sessions.last_seen(HOST, "desk-1") is None


def test_one_session_is_found_by_asking_its_own_guest_only() -> None:
    host, store = FakeHost(), FakeStore()
    for name in ("d-1", "d-2"):
        host.add(name)
        store.record(host, name)
    sessions = Sessions(store, Hosts([host]))  # type: ignore[arg-type, list-item]
    wanted = sessions.list()[1]
    host.guests["d-1"].nonsense = AssertionError("it was asked")
    assert sessions.get(HOST.upper(), wanted.session_id) == wanted
    for place, number in ((HOST, 99), ("elsewhere", wanted.session_id)):
        with pytest.raises(errors.NotFound):
            sessions.get(place, number)


def test_many_are_messaged_at_once_each_with_its_own_result(
    host: FakeHost, store: FakeStore, sessions: Sessions
) -> None:
    guests = [host.add(f"d-{number}", FakeGuest([replace(ALICE)])) for number in range(100)]
    for number in range(len(guests)):
        store.record(host, f"d-{number}")
    found = sessions.list()
    for guest in guests:
        guest.thinks = 0.2
    guests[7].refusal = errors.SessionDenied("no screen")
    guests[8].sessions = []
    begin = time.monotonic()
    results = sessions.send_messages(reversed(found), "Title", "Text")
    assert time.monotonic() - begin < 0.2 * len(guests) / 2
    assert [session for session, _ in results] == [*reversed(found)]
    failed = {session.vm: type(error) for session, error in results if error}
    assert failed == {"d-7": errors.SessionDenied, "d-8": errors.SessionGone}
    assert sum(guest.shown == [("Title", "Text")] for guest in guests) == 98
