"""The rdms command on a running service: what an administrator does in a day."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from live.service import PASSWORD, Service
from openrdms import cli
from openrdms.adapters import simulator

ServiceFactory = Callable[..., Service]

TIMES = "clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5&destroy_ms=5"


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    place = tmp_path_factory.mktemp("cli")
    return running_service(place / "state", f"simulator://{place}/cluster?hosts=3&{TIMES}")


class Rdms:
    """Runs commands in this process, as a user would who has set the environment."""

    def __init__(self, service: Service) -> None:
        self.service = service
        state_dir = service.state_dir
        self.cluster = state_dir.parent / "cluster"
        password = state_dir.parent / "password"
        password.write_text(PASSWORD + "\n")
        self.environment = {
            "RDMS_READY_FILE": str(state_dir / "ready.json"),
            "RDMS_CA": str(state_dir / "tls" / "certificate.pem"),
            "RDMS_USER": "admin",
            "RDMS_PASSWORD_FILE": str(password),
            "RDMS_STATE_DIR": str(state_dir),
        }

    def run(self, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(
            cli.build(arguments[:1]), arguments, env={**self.environment, **environment}
        )

    def read(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def refuse(self, code: int, *arguments: str, **environment: str) -> str:
        result = self.run(*arguments, **environment)
        assert result.exit_code == code, result.output
        return result.stderr

    def truth(self) -> dict[str, dict[str, Any]]:
        """VMs by name, past the service."""
        state = self.read("simulator", "state", str(self.cluster))
        return {vm["name"]: vm for host in state["hosts"] for vm in host["vms"]}


@pytest.fixture(scope="module")
def rdms(service: Service) -> Rdms:
    return Rdms(service)


@pytest.fixture
def pool(rdms: Rdms) -> str:
    """A collection of two desktops, which is gone afterwards."""
    created = rdms.read(
        *("collection", "create", "Pool", "--alias", "pool", "--prefix", "d-"),
        *("--image", "image:tiny", "--host", "host1=1", "--host", "HOST2.sim.local=1", "--wait"),
    )
    assert (created["State"], created["TotalSucceeded"]) == ("JOB_COMPLETED", 2)
    yield "pool"
    assert rdms.run("collection", "delete", "pool", "--desktops").exit_code == 0
    assert rdms.truth() == {}
    assert rdms.read("audit", "orphans") == []


def test_a_collection_shows_how_it_is_made(rdms: Rdms, pool: str) -> None:
    shown = rdms.read("collection", "show", pool)
    assert shown["CollectionState"] == "JOB_COMPLETED"
    assert (shown["NamePrefix"], shown["NameStartIndex"]) == ("d-", 3)
    assert [one["Alias"] for one in rdms.read("collection", "list")] == ["pool"]
    [job] = rdms.read("job", "list", "--collection", pool)
    assert job["JobGuid"] == shown["ProvisioningJobId"]
    assert rdms.read("job", "list", "--running") == []


def test_a_user_gets_a_message_and_is_logged_off(rdms: Rdms, pool: str) -> None:
    # Otherwise the desktop is made fresh after the logoff, and the simulator's user comes back.
    assert rdms.run("collection", "set", pool, "--no-rollback").exit_code == 0
    sessions = rdms.read("session", "list", "--collection", pool)
    first = next(session for session in sessions if session["VMName"] == "d-1")
    address = (first["VMHostName"], str(first["SessionId"]))
    text = "Save your work, 'please' & <now>"
    assert rdms.run("session", "message", *address, text, "--title", "Hi").exit_code == 0
    [session] = rdms.truth()["d-1"]["sessions"]
    assert session["messages"] == [{"title": "Hi", "text": text}]
    assert rdms.run("session", "logoff", *address).exit_code == 0
    assert rdms.truth()["d-1"]["sessions"] == []
    refused = rdms.refuse(1, "session", "disconnect", *address)
    assert "1168 (ERROR_NOT_FOUND)" in refused


def test_desktops_are_stopped_started_and_assigned(rdms: Rdms, pool: str) -> None:
    assert rdms.run("desktop", "stop", "d-1").exit_code == 0
    assert rdms.truth()["d-1"]["state"] == "stopped"
    assert rdms.run("desktop", "start", "d-1").exit_code == 0
    assert rdms.truth()["d-1"]["state"] == "running"
    assert rdms.read("desktop", "show", "d-1")["VMState"] == 2
    assert len(rdms.read("desktop", "list", "--collection", pool)) == 2
    assert rdms.run("collection", "remove-desktop", pool, "d-2").exit_code == 0
    assert [one["Name"] for one in rdms.read("desktop", "list", "--collection", pool)] == ["d-1"]
    assert rdms.read("audit", "orphans") == []
    assert rdms.run("collection", "add-desktop", pool, "d-2").exit_code == 0


def test_desktops_are_added_recreated_and_deleted(rdms: Rdms, pool: str) -> None:
    added = rdms.read("collection", "extend", pool, "--count", "2", "--wait")
    assert (added["Action"], added["TotalSucceeded"]) == ("Update", 2)
    before = rdms.truth()["d-1"]["disks"]
    patched = rdms.read("collection", "recreate", pool, "--image", "image:tiny@1", "--wait")
    assert (patched["Action"], patched["TotalSucceeded"]) == ("Patch", 4)
    assert rdms.truth()["d-1"]["disks"] != before
    deleted = rdms.read("collection", "delete-desktops", pool, "d-3", "d-4", "--wait")
    assert (deleted["Action"], deleted["TotalSucceeded"]) == ("Delete", 2)
    assert set(rdms.truth()) == {"d-1", "d-2"}


def test_a_job_is_cancelled_and_leaves_nothing(rdms: Rdms) -> None:
    simulator.set_image_fault(rdms.cluster, "tiny@1", "no-agent")  # so that it does not end
    created = rdms.read("collection", "create", "Big", "--image", "image:tiny", "--count", "60")
    ended = rdms.read("job", "cancel", created["JobGuid"], "--wait")
    simulator.set_image_fault(rdms.cluster, "tiny@1")
    assert ended["State"] == "JOB_ABORTED"
    report = rdms.read("job", "report", created["JobGuid"])
    assert {desktop["Status"] for desktop in report["VmStatus"]} <= {"Cancelled", "Pending"}
    xml = rdms.run("job", "report", created["JobGuid"], "--xml").stdout
    assert xml.startswith("<ProvisioningJobReport")
    assert rdms.truth() == {}
    assert rdms.read("audit", "orphans") == []
    assert "JOB_ABORTED" in rdms.refuse(1, "job", "watch", created["JobGuid"])
    assert rdms.run("collection", "delete", "Big").exit_code == 0


def test_desktops_can_be_left_off(rdms: Rdms) -> None:
    arguments = ("collection", "create", "Off", "--image", "image:tiny", "--count", "1")
    rdms.read(*arguments, "--no-start", "--wait")
    assert rdms.truth()["Off-1"]["state"] == "stopped"
    assert rdms.run("collection", "delete", "Off", "--desktops").exit_code == 0


def test_an_image_is_made_of_a_desktop(rdms: Rdms, pool: str) -> None:
    made = rdms.read("job", "prepare", "host1", "d-1", "/exports/golden", "--wait")
    assert (made["Action"], made["State"]) == ("Prep", "JOB_COMPLETED")
    [image] = [one for one in rdms.read("image", "list") if "/exports/golden" in one["source"]]
    again = rdms.read("collection", "recreate", pool, "--image", "/exports/golden", "--wait")
    assert again["TotalSucceeded"] == 2
    reference = f"{image['name']}@{image['version']}"
    kept = rdms.refuse(1, "image", "remove", reference)
    assert f"{reference} is kept for collection pool; desktops d-1, d-2" in kept
    rdms.read("collection", "recreate", pool, "--image", "image:tiny", "--wait")
    [removed] = rdms.read("image", "remove", reference)
    assert (removed["version"], removed["kept_for"]) == (image["version"], "")
    assert "no image" in rdms.refuse(1, "image", "remove", reference)


def test_a_saved_document_is_submitted_as_it_is(rdms: Rdms, tmp_path: Path) -> None:
    document = tmp_path / "job.xml"
    document.write_text('<?xml version="1.0" encoding="utf-16"?><Nonsense/>', encoding="utf-16")
    refused = rdms.refuse(1, "job", "submit", str(document))
    assert "0x80041008 (WBEM_E_INVALID_PARAMETER): Nonsense: " in refused


def test_without_its_job_a_collection_is_not_created(rdms: Rdms) -> None:
    arguments = ("collection", "create", "Lost", "--count", "1", "--image")
    assert "WBEM_E_NOT_FOUND" in rdms.refuse(1, *arguments, "image:missing")
    assert rdms.read("collection", "list") == []


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (1, ("collection", "show", "nobody"), "nobody"),
        (1, ("job", "cancel", "{7F5E1C6E-0000-4000-8000-000000000000}"), "WBEM_E_NOT_FOUND"),
        (1, ("job", "cancel", "no-guid"), "WBEM_E_INVALID_PARAMETER"),
        (1, ("session", "logoff", "host1", "4000000000"), "1168 (ERROR_NOT_FOUND)"),
        (1, ("simulator", "state", "/nonexistent"), "/nonexistent"),
        (2, ("collection", "create", "x", "--image", "image:tiny"), "--count"),
        (2, ("collection", "extend", "x", "--host", "host1"), "HOST=N"),
        (2, ("audit", "orphans", "--state-dir", "/nonexistent"), "/nonexistent"),
    ],
)
def test_a_refusal_says_why(rdms: Rdms, code: int, arguments: tuple[str, ...], words: str) -> None:
    assert words in rdms.refuse(code, *arguments)


def test_who_is_not_let_in_is_told_so(rdms: Rdms) -> None:
    rdms.refuse(4, "collection", "list", RDMS_USER="somebody")


def test_a_certificate_nobody_vouches_for_is_not_trusted(rdms: Rdms, service: Service) -> None:
    url = service.ready["wsman_https"]
    refused = rdms.refuse(3, "collection", "list", "--url", url, RDMS_CA="")
    assert "certificate" in refused.lower()


def test_nobody_there(rdms: Rdms) -> None:
    rdms.refuse(3, "collection", "list", "--url", "http://127.0.0.1:9/wsman")
