"""The main job on real virtual machines, over the wire, in a state directory with a long path."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from conftest import ServiceFactory
from live.inside import Inside, look_inside
from live.rollout import (
    BOOT_S,
    COLLECTION,
    DESKTOP,
    SESSION,
    WIN32_NOT_FOUND,
    begin_create,
    cancel,
    collection_state,
    follow,
    list_sessions,
    read_report,
    remove_all,
    session_keys,
)
from live.service import Service, list_disks, rdms, until
from live.wire import Wire

PATH_LENGTH = 120

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    """On the default hypervisor, with image ``tiny``."""
    above = tmp_path_factory.mktemp("main")
    state_dir = above / ("d" * (PATH_LENGTH - len(f"{above}/")))
    assert len(str(state_dir)) == PATH_LENGTH
    built = rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", state_dir)
    assert (built["name"], built["version"]) == ("tiny", 1)
    return running_service(state_dir)


@pytest.fixture(scope="module")
def first(service: Service) -> list[str]:
    """Names of two desktops that a job has made in collection ``first``."""
    wire = service.wire()
    began = time.monotonic()
    guid = begin_create(wire, "first", 2)
    report = follow(wire, guid, BOOT_S)
    print(f"two tiny desktops after {time.monotonic() - began:.1f} s")
    assert report.state == "JOB_COMPLETED"
    assert (report.percent, report.requested, report.succeeded) == (100, 2, 2)
    assert report.statuses == {"first-1": "Complete", "first-2": "Complete"}
    assert collection_state(wire, "first") == 10
    return sorted(report.statuses)


@pytest.fixture(scope="module")
def sessions(service: Service, first: list[str]) -> dict[str, dict[str, str]]:
    """The users' sessions by VM name: one in each desktop, with equal ids inside the guests."""
    wire = service.wire()
    found = wait_for_sessions(wire, first)
    while len(set((ids := read_guest_ids(service)).values())) > 1:
        # Clones number their sessions alike, but a slow console may have logged on twice.
        behind = min(ids, key=lambda name: ids[name])
        assert wire.invoke(SESSION, "Logoff", session_keys(found[behind])).return_value == 0
        found = wait_for_sessions(wire, first)
    return found


def wait_for_sessions(wire: Wire, names: list[str]) -> dict[str, dict[str, str]]:
    """Sessions by VM name, when each of these desktops has one."""

    def one_in_each() -> dict[str, dict[str, str]]:
        found = list_sessions(wire, "first")
        complete = [session["VMName"] for session in found] == names
        return {session["VMName"]: session for session in found} if complete else {}

    return until("users are logged on", one_in_each, BOOT_S, 2)


def read_guest_ids(service: Service) -> dict[str, int]:
    """The guest's own id of each desktop's newest session, from the service's records."""
    rows = service.read_rows("SELECT vm, guest_key FROM sessions ORDER BY session_id")
    return {vm: int(key.rpartition("/")[2]) for vm, key in rows}


@pytest.fixture(scope="module")
def insides(service: Service, sessions: dict[str, dict[str, str]]) -> dict[str, Inside]:
    """The guests, each sent a message of its own, as they are without the service."""
    for name, session in sessions.items():
        answer = service.wire().invoke(
            SESSION, "SendMessage", session_keys(session), Title=f"For {name}", Message=words(name)
        )
        assert answer.return_value == 0
    service.stop()
    found = look_inside(service.state_dir)
    service.start()
    return found


def words(name: str) -> str:
    """A message that a shell would spoil."""
    return f"$(reboot) `{name}`; save your \"work\" & 'go' > home"


def test_qemu_does_not_run_as_root(service: Service, first: list[str]) -> None:
    uids = set(service.find_qemus().values())

    assert len(service.find_qemus()) == 2
    assert 0 not in uids


def test_desktops_are_on_record_and_running(service: Service, first: list[str]) -> None:
    desktops = service.wire().enumerate(DESKTOP, "CollectionAlias = 'FIRST'")

    assert sorted(str(desktop["Name"]) for desktop in desktops) == first
    assert {(desktop["Status"], desktop["VMState"]) for desktop in desktops} == {("2", "2")}


def test_every_clone_is_a_machine_of_its_own(insides: dict[str, Inside]) -> None:
    assert {name: inside.hostname for name, inside in insides.items()} == {
        name: name for name in ("first-1", "first-2")
    }
    assert len({inside.machine_id for inside in insides.values()}) == 2


def test_equal_sessions_of_two_guests_have_two_ids(
    sessions: dict[str, dict[str, str]], insides: dict[str, Inside]
) -> None:
    one, other = insides.values()

    assert one.sessions == other.sessions, "clones of one image number their sessions alike"
    assert len({session["VMHostName"] for session in sessions.values()}) == 1
    assert len({session["SessionId"] for session in sessions.values()}) == 2
    assert {session["UserName"] for session in sessions.values()} == set(one.sessions.values())


def test_a_message_is_on_the_screen_of_its_user_alone(insides: dict[str, Inside]) -> None:
    seen = {name: "".join(inside.screen.split()) for name, inside in insides.items()}

    for name, text in seen.items():
        for sent in insides:
            assert ("".join(words(sent).split()) in text) == (sent == name)


def test_vms_and_session_ids_outlive_the_service(
    service: Service, sessions: dict[str, dict[str, str]]
) -> None:
    qemus = service.find_qemus()
    service.kill()
    assert service.find_qemus() == qemus

    service.start()
    names = sorted(sessions)
    found = wait_for_sessions(service.wire(), names)
    for name in names:
        assert session_keys(found[name]) == session_keys(sessions[name])
    assert service.find_orphans() == []


def test_log_off_ends_the_session(
    service: Service, sessions: dict[str, dict[str, str]], insides: dict[str, Inside]
) -> None:
    wire, left = service.wire(), sessions["first-2"]
    # Otherwise it is made fresh after the logoff, and boots while others look.
    wire.put(COLLECTION, {"RollbackEnabled": "false"}, Alias="first")
    assert wire.invoke(SESSION, "Logoff", session_keys(left)).return_value == 0

    gone = session_keys(left)
    assert gone not in [session_keys(session) for session in list_sessions(wire, "first")]
    late = wire.invoke(SESSION, "SendMessage", gone, Title="Late", Message="Too late")
    assert late.return_value == WIN32_NOT_FOUND
    again = wait_for_sessions(wire, sorted(sessions))
    assert again["first-1"]["SessionId"] == sessions["first-1"]["SessionId"]
    used = {session["SessionId"] for session in sessions.values()}
    assert again["first-2"]["SessionId"] not in used, "the console's next login is a new session"

    service.stop()
    inside = look_inside(service.state_dir)
    service.start()
    assert inside["first-1"].sessions == insides["first-1"].sessions
    assert not inside["first-2"].sessions.keys() & insides["first-2"].sessions.keys()


def test_a_job_cancelled_halfway_leaves_nothing(service: Service, first: list[str]) -> None:
    wire = service.wire()
    qemus = service.find_qemus()
    guid = begin_create(wire, "second", 2)
    until("desktops of it run", lambda: len(service.find_qemus()) > len(qemus), 60, 0.02)
    assert find_files(service, "second-")

    asked = time.monotonic()
    assert read_report(wire, guid).percent in range(1, 100)
    assert cancel(wire, guid) == 0
    report = follow(wire, guid)
    print(f"cancelled and undone after {time.monotonic() - asked:.1f} s")
    assert report.state == "JOB_ABORTED"
    assert set(report.statuses.values()) == {"Cancelled"}
    assert all("disk" in undone for undone in report.undone.values())
    assert service.find_qemus() == qemus
    assert find_files(service, "second-") == []
    assert service.find_orphans() == []
    wire.delete(COLLECTION, Alias="second")


def test_a_delete_job_leaves_nothing(service: Service, first: list[str]) -> None:
    wire = service.wire()
    remove_all(wire, "first")

    assert wire.enumerate(DESKTOP) == []
    assert service.find_qemus() == {}
    assert find_files(service, "first-") == []
    assert list_disks(service.state_dir / "desktops") == []
    assert service.find_orphans() == []


def find_files(service: Service, prefix: str) -> list[Path]:
    """Everything in the state directory that is named after desktops: disks, definitions, logs."""
    return [file for file in service.state_dir.rglob("*") if prefix in file.name]
