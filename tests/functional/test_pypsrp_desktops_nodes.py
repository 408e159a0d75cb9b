"""Run states, joined nodes and scheduled updates over the wire and by command."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conftest import ServiceFactory
from live.rollout import (
    COLLECTION,
    DESKTOP,
    INVALID_OPERATION,
    INVALID_PARAMETER,
    NOT_FOUND,
    begin_create,
    collection_state,
    execute,
    follow,
    job_document,
    read_report,
)
from live.service import Service, rdms, until
from live.wire import Wire, fault
from openrdms.adapters import simulator

NODE = "Win32_RDMSJoinedNode"
ALREADY_EXISTS = 0x80041019
HOST, SPARE = "host1.sim.local", "host3.sim.local"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desktops")


@pytest.fixture(scope="module")
def service(place: Path, running_service: ServiceFactory) -> Service:
    cluster = f"simulator://{place}/cluster?hosts=3&clone_ms=5&start_ms=5&boot_ms=20&save_ms=5"
    return running_service(place / "state", cluster)


@pytest.fixture
def wire(service: Service) -> Wire:
    return service.wire()


@pytest.fixture(scope="module")
def pool(service: Service) -> list[str]:
    wire = service.wire()
    report = follow(wire, begin_create(wire, "pool", 2, host=HOST))
    assert report.state == "JOB_COMPLETED"
    await_users(service, report.statuses)
    return sorted(report.statuses)


def await_users(service: Service, names: Iterable[str]) -> None:
    """Until each is its user's, who is logged on from its first boot: nobody else gets it then."""
    query = "SELECT name_key FROM desktop_uses WHERE use = 'taken'"
    taken = {(name.casefold(),) for name in names}
    until("who is logged on has them", lambda: taken <= set(service.read_rows(query)))


@pytest.fixture(scope="module")
def login(service: Service) -> list[str]:
    state = service.state_dir
    return [
        *("--ready-file", str(state / "ready.json"), "--user", "admin"),
        *("--ca", str(state / "tls" / "certificate.pem")),
        *("--password-file", str(state / "admin-password")),
    ]


def set_state(wire: Wire, name: str, state: int) -> int:
    answer = wire.invoke(DESKTOP, "SetVirtualDesktopState", {"Name": name}, VMState=str(state))
    return answer.return_value


def get_state(wire: Wire, name: str) -> int:
    answer = wire.invoke(DESKTOP, "GetVirtualDesktopState", {"Name": name})
    assert wire.get(DESKTOP, Name=name)["VMState"] == answer.outputs["VMState"]
    return int(str(answer.outputs["VMState"]))


def truth(place: Path, vm: str) -> str:
    hosts = simulator.read_state(place / "cluster")["hosts"]
    [state] = [one["state"] for host in hosts for one in host["vms"] if one["name"] == vm]
    return str(state)


def schedule(wire: Wire, alias: str, start: datetime, document: str = "") -> None:
    answer = wire.invoke(
        COLLECTION,
        "SchedulePatch",
        {"Alias": alias},
        StartTime=start.isoformat(),
        ForceLogOffTime=start.isoformat(),
        JobInputXml=document or job_document("Patch", alias),
    )
    assert answer.return_value == 0, answer.reason


# run states


@pytest.mark.parametrize("saved", [6, 32769])
def test_run_states_are_those_of_the_vm(
    wire: Wire, place: Path, pool: list[str], saved: int
) -> None:
    name = pool[0]
    for asked, told, real in (
        (2, 2, "running"),
        (32768, 32768, "paused"),
        (32768, 32768, "paused"),
        (2, 2, "running"),
        (saved, 6, "saved"),
        (saved, 6, "saved"),
        (2, 2, "running"),
        (saved, 6, "saved"),
        (3, 3, "stopped"),
        (3, 3, "stopped"),
    ):
        assert set_state(wire, name, asked) == 0
        assert (get_state(wire, name), truth(place, name)) == (told, real)


@pytest.mark.parametrize(
    ("before", "asked", "code"),
    [
        (3, 32768, INVALID_OPERATION),
        (3, 6, INVALID_OPERATION),
        (2, 0, INVALID_PARAMETER),
        (2, 1, INVALID_PARAMETER),
        *((2, state, INVALID_PARAMETER) for state in (32770, 32773, 32774, 32776, 32777)),
    ],
)
def test_run_states_that_are_refused(
    wire: Wire, pool: list[str], before: int, asked: int, code: int
) -> None:
    assert set_state(wire, pool[1], before) == 0
    assert set_state(wire, pool[1], asked) == code
    assert get_state(wire, pool[1]) == before


def test_strangers_keep_their_state(wire: Wire, place: Path) -> None:
    simulator.add_stranger(place / "cluster", HOST, "loose")
    for state in (2, 3, 6, 32768):
        assert set_state(wire, "loose", state) == INVALID_OPERATION
    assert truth(place, "loose") == "running"


def test_saved_and_paused_desktops_outlive_the_service(
    service: Service, place: Path, pool: list[str]
) -> None:
    wire = service.wire()
    for name, state in zip(pool, (6, 32768), strict=True):
        assert set_state(wire, name, 2) == 0
        assert set_state(wire, name, state) == 0
    service.restart()
    wire = service.wire()
    assert [get_state(wire, name) for name in pool] == [6, 32768]
    for name in pool:
        assert set_state(wire, name, 2) == 0


@pytest.mark.parametrize("action", ["Patch", "Delete"])
def test_jobs_take_paused_and_saved_desktops(
    service: Service, wire: Wire, place: Path, action: str
) -> None:
    alias = f"held{action}"
    made = sorted(follow(wire, begin_create(wire, alias, 3, host=HOST)).statuses)
    await_users(service, made)
    for name, state in zip(made, (6, 32768, 3), strict=True):
        assert set_state(wire, name, state) == 0
    report = follow(wire, execute(wire, job_document(action, alias)))
    assert report.state == "JOB_COMPLETED"
    assert set(report.statuses.values()) == {"Complete"}
    if action == "Patch":
        assert [truth(place, name) for name in made] == ["stopped", "running", "stopped"]
    left = {
        disk for host in simulator.read_state(place / "cluster")["hosts"] for disk in host["disks"]
    }
    wanted = {f"{name}.2.qcow2" for name in made} if action == "Patch" else set()
    assert {disk for disk in left if disk.startswith(alias)} == wanted


def test_desktop_that_is_saved_before_it_has_its_identity_gets_it_later(
    wire: Wire, service: Service, login: list[str]
) -> None:
    arguments = ["late", "--image", "image:tiny", "--count", "1", "--no-start", "--wait"]
    rdms("collection", "create", *arguments, *login)
    [row] = rdms("desktop", "list", "--collection", "late", *login)
    for state in (2, 6, 2):
        assert set_state(wire, row["Name"], state) == 0

    def identified() -> bool:
        query = "SELECT identity_set FROM desktops WHERE name = ?"
        return service.read_rows(query, row["Name"]) == [(1,)]

    until("the desktop has its identity", identified)


def test_details_and_nobodys_desktop(wire: Wire, pool: list[str]) -> None:
    keys = {"Name": pool[0]}
    details = wire.invoke(DESKTOP, "GetVirtualDesktopDetails", keys).outputs
    assert details == {"RAMSizeInMB": "256", "RemoteFXEnabled": "false", "OSVersion": "linux"}
    nobody = {"UserName": None, "UserDomain": None}
    assert wire.invoke(DESKTOP, "GetUserAssignment", keys).outputs == nobody


def test_commands_for_run_states(pool: list[str], place: Path, login: list[str]) -> None:
    for command, state in (
        ("start", "running"),
        ("pause", "paused"),
        ("save", "saved"),
        ("start", "running"),
        ("stop", "stopped"),
    ):
        rdms("desktop", command, pool[0], *login)
        assert truth(place, pool[0]) == state
    assert rdms("desktop", "show", pool[0], *login)["VMState"] == 3


# nodes


def test_hypervisor_host_leaves_and_comes_back(service: Service, wire: Wire) -> None:
    def count(roles: int) -> int:
        answer = wire.invoke(NODE, "GetJoinedNodeCount", roleType=str(roles))
        return int(str(answer.outputs["Count"]))

    before = count(4)
    assert (count(0), count(1), count(2), count(5)) == (before + 1, 1, 0, before + 1)
    assert wire.invoke(NODE, "GetJoinedNodeCount", roleType="8").return_value == INVALID_PARAMETER
    assert wire.invoke(NODE, "Unjoin", {"FQDN": SPARE}).return_value == 0
    assert count(4) == before - 1
    with fault() as gone:
        wire.invoke(NODE, "Unjoin", {"FQDN": SPARE})
    assert gone.subcode == "DestinationUnreachable"
    refused = wire.invoke(
        COLLECTION,
        "ProvisioningJobExecute",
        JobInputXml=job_document("Update", "pool", count=1, host=SPARE),
    )
    assert refused.return_value != 0
    service.restart()
    wire = service.wire()
    assert SPARE not in {node["FQDN"] for node in wire.enumerate(NODE)}
    joined = wire.invoke(NODE, "Join", NodeFQDN=SPARE, NodeSID="S-1-5-21-1-2-3-1105")
    assert joined.return_value == 0, joined.reason
    assert wire.get(NODE, FQDN=SPARE)["SID"] == "S-1-5-21-1-2-3-1105"
    again = wire.invoke(NODE, "Join", NodeFQDN=SPARE, NodeSID="")
    assert again.return_value == ALREADY_EXISTS


def test_join_of_what_does_not_answer_says_what_was_tried(wire: Wire) -> None:
    refused = wire.invoke(NODE, "Join", NodeFQDN="localhost.localdomain", NodeSID="")
    assert refused.return_value not in (0, ALREADY_EXISTS)
    assert "qemu+ssh://localhost.localdomain/system" in refused.reason
    assert "SSH on port 22" in refused.reason


def test_node_that_carries_desktops_stays(wire: Wire, pool: list[str]) -> None:
    refused = wire.invoke(NODE, "Unjoin", {"FQDN": HOST})
    assert refused.return_value == INVALID_OPERATION
    assert "desktops" in refused.reason


def test_flags_of_nodes_are_put(wire: Wire) -> None:
    changed = wire.put(NODE, {"IsRdwa": "true", "IsGatewayCertificateInstalled": "true"}, FQDN=HOST)
    assert (changed["IsRdwa"], changed["IsGatewayCertificateInstalled"]) == ("true", "true")
    assert (changed["IsRdvh"], changed["IsRdg"]) == ("true", "false")
    with fault() as refused:
        wire.put(NODE, {"IsRdcb": "true"}, FQDN=HOST)
    assert "only broker" in refused.text


# scheduled updates


def test_update_runs_at_its_time_under_its_guid(wire: Wire, pool: list[str]) -> None:
    keys = {"Alias": "pool"}
    start = datetime.now(UTC) + timedelta(seconds=1)
    schedule(wire, "pool", start)
    patch = wire.invoke(COLLECTION, "GetPatchProperties", keys).outputs
    assert datetime.fromisoformat(str(patch["StartTime"])) == start
    report = follow(wire, str(patch["JobGuid"]))
    assert (report.state, report.succeeded) == ("JOB_COMPLETED", 2)
    assert collection_state(wire, "pool") == 10
    assert wire.invoke(COLLECTION, "GetPatchProperties", keys).outputs["State"] == "4"


def assert_is_scheduled(wire: Wire, alias: str, desktops: int) -> None:
    assert collection_state(wire, alias) == 6
    patch = wire.invoke(COLLECTION, "GetPatchProperties", {"Alias": alias}).outputs
    assert patch["State"] == "1"
    waiting = read_report(wire, str(patch["JobGuid"]))
    assert (waiting.state, waiting.percent, waiting.requested) == ("UPDATE_SCHEDULED", 0, desktops)
    busy = wire.invoke(
        COLLECTION, "ProvisioningJobExecute", JobInputXml=job_document("Patch", alias)
    )
    assert busy.return_value == INVALID_OPERATION


def test_update_survives_a_kill_and_is_cancelled(service: Service, pool: list[str]) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    schedule(service.wire(), "pool", start)
    assert_is_scheduled(service.wire(), "pool", desktops=len(pool))
    service.kill()
    service.start()
    wire = service.wire()
    keys = {"Alias": "pool"}
    patch = wire.invoke(COLLECTION, "GetPatchProperties", keys).outputs
    assert datetime.fromisoformat(str(patch["StartTime"])) == start
    for _ in range(2):
        assert wire.invoke(COLLECTION, "CancelPatch", keys).return_value == 0
    assert collection_state(wire, "pool") == 8
    cancelled = wire.invoke(COLLECTION, "GetPatchProperties", keys).outputs
    assert (cancelled["State"], cancelled["StartTime"]) == ("6", patch["StartTime"])
    assert read_report(wire, str(patch["JobGuid"])).state == "UPDATE_CANCELLED"


def test_update_that_was_due_while_the_service_was_dead_is_made_up_for(
    service: Service, pool: list[str]
) -> None:
    schedule(service.wire(), "pool", datetime.now(UTC) + timedelta(seconds=1))
    service.kill()
    service.start()
    wire = service.wire()
    keys = {"Alias": "pool"}
    guid = str(wire.invoke(COLLECTION, "GetPatchProperties", keys).outputs["JobGuid"])
    assert follow(wire, guid).state == "JOB_COMPLETED"
    assert service.find_orphans() == []


def test_without_an_update_there_is_nothing_to_see_or_cancel(wire: Wire) -> None:
    follow(wire, begin_create(wire, "never", 1))
    keys = {"Alias": "never"}
    assert wire.invoke(COLLECTION, "GetPatchProperties", keys).return_value == NOT_FOUND
    assert wire.invoke(COLLECTION, "CancelPatch", keys).return_value == INVALID_OPERATION


def test_commands_for_updates(pool: list[str], login: list[str]) -> None:
    start = "2099-01-01T00:00:00+00:00"
    command = ("schedule-update", "pool", "image:tiny", "--start", start)
    made = rdms("collection", *command, "--force-logoff", "2099-01-02", *login)
    assert (made["UpdateState"], made["StartTime"]) == ("SUBMITTED", "2099-01-01 00:00:00+00:00")
    status = rdms("job", "status", "pool", *login)
    assert status["CollectionState"] == "UPDATE_SCHEDULED"
    assert status["UpdateJobGuid"] == made["UpdateJobGuid"]
    assert rdms("job", "show", made["UpdateJobGuid"], *login)["State"] == "UPDATE_SCHEDULED"
    rdms("collection", "cancel-update", "pool", *login)
    assert rdms("collection", "show", "pool", *login)["UpdateState"] == "UPDATE_CANCELLED"
