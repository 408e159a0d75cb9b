"""Commands for what the stock cmdlets do beyond desktops and jobs, on a running service."""

from __future__ import annotations

import csv
import json
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from conftest import ServiceFactory
from live.service import PASSWORD, Service
from openrdms import cli
from openrdms.adapters import simulator
from openrdms.security import certificate

HOST = "host1.sim.local"


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    place = tmp_path_factory.mktemp("parity")
    return running_service(place / "state", f"simulator://{place}/cluster?hosts=3")


class Rdms:
    """Runs commands in this process."""

    def __init__(self, service: Service) -> None:
        password = service.state_dir.parent / "password"
        password.write_text(PASSWORD + "\n")
        self.cluster = service.state_dir.parent / "cluster"
        self._environment = {
            "RDMS_READY_FILE": str(service.state_dir / "ready.json"),
            "RDMS_CA": str(service.state_dir / "tls" / "certificate.pem"),
            "RDMS_USER": "admin",
            "RDMS_PASSWORD_FILE": str(password),
            "RDMS_STATE_DIR": str(service.state_dir),
        }

    def run(self, *arguments: str) -> Result:
        app = cli.build(arguments[:1])
        return CliRunner().invoke(app, arguments, env=self._environment)

    def __call__(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def rdms(service: Service) -> Rdms:
    return Rdms(service)


def test_nodes_are_listed_by_role_and_leave_and_join(rdms: Rdms) -> None:
    spare = "host3.sim.local"
    assert spare in {node["FQDN"] for node in rdms("node", "list", "--role", "virtualization-host")}
    rdms("node", "unjoin", spare)
    assert spare not in {node["FQDN"] for node in rdms("node", "list")}
    rdms("node", "join", spare, "--sid", "S-1-5-21-1-2-3-1200")
    [node] = [one for one in rdms("node", "list") if one["FQDN"] == spare]
    assert (node["SID"], node["Roles"]) == ("S-1-5-21-1-2-3-1200", ["virtualization-host"])


def test_the_deployment_is_set_and_shown(rdms: Rdms, tmp_path: Path) -> None:
    rdms("deployment", "set", "--client-access-name", "desk.corp.example", "--workspace", "Work")
    rdms("deployment", "set", "--export-path", str(tmp_path))
    rdms(
        *("deployment", "gateway", "usage=always", "name=gate.corp.example"),
        *("logon=smart-card", "cached-credentials=on"),
    )
    rdms("deployment", "set", "--shadow", "view")
    shown = rdms("deployment", "show")
    assert shown["shadow"] == "view"
    assert shown["ClientAccessName"] == "desk.corp.example"
    assert (shown["workspace"], shown["ExportPath"]) == ("Work", str(tmp_path))
    assert (shown["gateway usage"], shown["gateway logon"]) == ("always", "smart-card")
    half = rdms.run("deployment", "gateway", "usage=always", "name=gate.corp.example")
    assert half.exit_code == 2
    assert "cached-credentials" in half.stderr


def test_connection_strings_are_read_from_files_and_shown_without_passwords(
    rdms: Rdms, tmp_path: Path
) -> None:
    secret = tmp_path / "connection"
    secret.write_text("Driver=ODBC;Server=db;Uid=rds;Pwd=s3cret;Database=rds\n")
    rdms("deployment", "database", "--connection-file", str(secret))
    rdms("deployment", "database", "--secondary-file", str(secret))
    shown = rdms("deployment", "show")
    assert shown["ConnectionString"] == "Driver=ODBC;Server=db;Uid=rds;Pwd=***;Database=rds"
    rdms("deployment", "database", "--no-secondary")
    assert rdms("deployment", "show")["SecondaryConnectionString"] is None


def test_a_session_collection_and_its_servers(rdms: Rdms) -> None:
    server = "rdsh1.corp.example"
    rdms("session-collection", "create", "Office", "--alias", "office", "--server", server)
    rdms("session-collection", "set", "office", "idle-limit=30", "encryption=high", "printer=on")
    rdms("session-collection", "set-server", server, "new-sessions=no", "weight=50")
    shown = rdms("session-collection", "show", "office")
    assert (shown["idle-limit"], shown["encryption"], shown["printer"]) == (30, "high", "on")
    [listed] = shown["Servers"]
    assert (listed["Name"], listed["new-sessions"], listed["weight"]) == (server, "no", 50)
    assert "pooled" in rdms.run("session-collection", "list").stdout
    told = rdms.run("session-collection", "show", "office").stdout
    assert ("pooled" in told, "unknown" in told) == (True, True)
    wrong = rdms.run("session-collection", "set", "office", "encryption=rot13")
    assert (wrong.exit_code, "low|client|high" in wrong.stderr.replace("\n", "")) == (2, True)
    rdms("session-collection", "delete", "office", "--servers")
    assert rdms("session-collection", "list") == []
    [free] = rdms("session-collection", "servers")
    assert not free["CollectionAlias"]
    rdms("session-collection", "remove-server", server)


def test_a_session_collection_comes_with_all_its_servers_or_not_at_all(rdms: Rdms) -> None:
    free, taken = "rdsh2.corp.example", "rdsh3.corp.example"
    rdms("session-collection", "create", "First", "--server", taken)

    refused = rdms.run(
        "session-collection", "create", "Second", "--server", free, "--server", taken
    )

    assert (refused.exit_code, taken in refused.output) == (1, True)
    assert [one["Alias"] for one in rdms("session-collection", "list")] == ["First"]
    servers = {one["Name"]: one for one in rdms("session-collection", "servers")}
    assert not servers[free]["CollectionAlias"]
    rdms("session-collection", "delete", "First", "--servers")
    for one in (free, taken):
        rdms("session-collection", "remove-server", one)


@pytest.fixture(scope="module")
def personal(service: Service) -> str:
    """An unmanaged personal collection of two desktops."""
    rdms, wire = Rdms(service), service.wire()
    wire.create(
        "Win32_RDMSVirtualDesktopCollection",
        {"Alias": "own", "Name": "Own", "Type": "2", "IsManaged": "false"},
    )
    for name in ("own-1", "own-2"):
        simulator.add_stranger(rdms.cluster, HOST, name)
        rdms("collection", "add-desktop", "own", name)
    return "own"


def test_a_collection_is_made_of_existing_vms(rdms: Rdms) -> None:
    for name in ("lone-1", "lone-2"):
        simulator.add_stranger(rdms.cluster, HOST, name)

    made = rdms("collection", "adopt", "Lone", "lone-1", "LONE-2", "--type", "personal")

    assert made["Alias"] == "Lone"
    shown = rdms("collection", "config", "lone")
    assert (shown["IsManaged"], shown["Type"]) == (False, 2)
    assert (shown["redirect"], shown["monitors"], shown["printer"]) == (187, "all", "on")
    members = rdms("desktop", "list", "--collection", "Lone")
    assert [desktop["Name"] for desktop in members] == ["lone-1", "lone-2"]
    rdms("collection", "delete", "Lone")


def test_what_cannot_be_adopted_leaves_no_collection(rdms: Rdms) -> None:
    simulator.add_stranger(rdms.cluster, HOST, "lone-3")

    refused = rdms.run("collection", "adopt", "Half", "lone-3", "nowhere")

    assert refused.exit_code == 1
    assert "nowhere" in refused.output
    assert "Half" not in [collection["Alias"] for collection in rdms("collection", "list")]
    [left] = [one for one in rdms("desktop", "list") if one["Name"] == "lone-3"]
    assert left["CollectionAlias"] == ""


def test_settings_of_a_collection(rdms: Rdms, personal: str) -> None:
    rdms(
        *("collection", "set", personal, "redirect=187", "monitors=all", "printer=off"),
        *("--description", "Of one's own", "--save-delay", "45", "--type", "auto-personal"),
    )
    rdms("collection", "profile-disks", personal, "/srv/profiles", "--size", "20")
    shown = rdms("collection", "config", personal)
    assert (shown["redirect"], shown["monitors"], shown["printer"]) == (187, "all", "off")
    assert shown["save-delay (minutes)"] == 45
    assert (shown["profile disks"], shown["Type"]) == ("/srv/profiles", 3)
    assert shown["profile disk size (GB)"] == 20
    for told in (("config", personal), ("show", personal), ("list",)):
        assert "auto-personal" in rdms.run("collection", *told).stdout
    assert shown["CollectionDescription"] == "Of one's own"
    rdms("collection", "profile-disks", personal, "")
    assert rdms("collection", "config", personal)["profile disks"] == "off"


def test_personal_desktops_are_exported_and_imported(
    rdms: Rdms, personal: str, tmp_path: Path
) -> None:
    rdms("assignment", "set", personal, "own-1", r"CORP\ann")
    rdms("assignment", "set", personal, "own-2", r"CORP\bob")
    file = tmp_path / "own.csv"
    assert rdms("assignment", "export", personal, str(file))["assignments"] == 2
    assert list(csv.reader(file.read_text().splitlines())) == [
        ["VirtualDesktopName", "User"],
        ["own-1", r"CORP\ann"],
        ["own-2", r"CORP\bob"],
    ]
    assert rdms.run("assignment", "export", personal, str(file)).exit_code == 1, "it exists"
    file.write_text("VirtualDesktopName,User\r\nown-1,CORP\\bob\r\nown-2,CORP\\ann\r\n")
    rdms("assignment", "import", personal, str(file))
    listed = {row["DesktopName"]: row["User"] for row in rdms("assignment", "list", personal)}
    assert listed == {"own-1": r"CORP\bob", "own-2": r"CORP\ann"}
    rdms("assignment", "remove", personal, "own-1")
    assert rdms("assignment", "list", personal, "--of", r"corp\bob") == []


def test_session_hosts_of_users_are_exported_and_imported(rdms: Rdms, tmp_path: Path) -> None:
    servers = ("mine1.corp.example", "mine2.corp.example")
    rdms(
        *("session-collection", "create", "Mine", "--type", "personal"),
        *("--server", servers[0], "--server", servers[1]),
    )
    rdms("assignment", "set", "Mine", servers[0], r"CORP\ann")
    file = tmp_path / "mine.csv"
    rdms("assignment", "export", "Mine", str(file))
    assert list(csv.reader(file.read_text().splitlines())) == [
        ["CollectionName", "DesktopName", "User"],
        ["Mine", servers[0], r"CORP\ann"],
    ]
    file.write_text(f"CollectionName,DesktopName,User\r\nMine,{servers[1]},CORP\\ann\r\n")
    rdms("assignment", "import", "Mine", str(file))
    [row] = rdms("assignment", "list", "Mine")
    assert row["DesktopName"] == servers[1]


def test_an_incomplete_file_changes_nothing(rdms: Rdms, personal: str, tmp_path: Path) -> None:
    before = rdms("assignment", "list", personal)
    file = tmp_path / "half.csv"
    file.write_text("VirtualDesktopName,User\r\nown-1,CORP\\eve\r\nown-2,\r\n")
    refused = rdms.run("assignment", "import", personal, str(file))
    assert (refused.exit_code, "line 3" in refused.stderr) == (1, True)
    assert rdms("assignment", "list", personal) == before


def test_an_application_and_its_file_types(rdms: Rdms, personal: str) -> None:
    made = rdms("application", "publish", personal, "Text editor", "/usr/bin/mousepad")
    assert made == {"PoolName": personal, "AppAlias": "mousepad"}
    rdms("application", "set", personal, "mousepad", "--folder", "Tools", "--arguments", "yes")
    [listed] = rdms("application", "list", "--collection", personal)
    assert (listed["Folder"], listed["CommandLineSetting"]) == ("Tools", 1)
    rdms("application", "set-file-type", personal, "mousepad", ".txt")
    rdms("application", "set-file-type", personal, "mousepad", ".txt", "--no-publish")
    [opened] = rdms("application", "file-types", "--collection", personal)
    assert (opened["ExtName"], opened["IsPublished"]) == (".txt", False)
    rdms("application", "synchronise", "--collection", personal)
    rdms("application", "remove", personal, "mousepad")
    assert rdms("application", "file-types") == []


def test_what_is_installed_in_a_desktop_is_listed(rdms: Rdms, personal: str) -> None:
    rdms("desktop", "start", "own-2")
    found = rdms("application", "available", personal, "--desktop", "own-2")
    assert found["desktop"] == "own-2"
    writer = found["applications"][-1]
    assert (writer["path"], writer["arguments"]) == ("/usr/bin/libreoffice", "--writer")
    assert "Firefox" in rdms.run("application", "available", personal).stdout
    absent = rdms.run("application", "available", personal, "--desktop", "own-9")
    assert (absent.exit_code, "no desktop 'own-9'" in absent.stderr) == (1, True)


def test_the_certificate_is_shown_made_anew_and_replaced(
    rdms: Rdms, service: Service, tmp_path: Path
) -> None:
    before = rdms("certificate", "show")
    assert {"localhost", "127.0.0.1"} <= set(before["names"])
    own = tmp_path / "own"
    made = certificate.ensure(own, "rds.corp.example")
    imported = rdms(
        *("certificate", "import", "--certificate", str(made.certificate), "--key", str(made.key)),
    )
    assert "rds.corp.example" in imported["names"]
    assert imported["sha256"] != before["sha256"]
    key = str(service.state_dir / "admin-password")
    foreign = certificate.ensure(tmp_path / "other", "other.example").key
    for wrong in (key, str(foreign)):
        refused = rdms.run(
            *("certificate", "import", "--certificate", str(made.certificate), "--key", wrong)
        )
        assert (refused.exit_code, "key" in refused.stderr) == (1, True)
    assert rdms("certificate", "show") == imported
    again = rdms("certificate", "create", "desk.corp.example")
    assert "desk.corp.example" in again["names"]
    service.restart()
    address = urlsplit(service.ready["wsman_https"])
    served = ssl.get_server_certificate((address.hostname or "", address.port or 0))
    assert sha256(ssl.PEM_cert_to_DER_cert(served)).hexdigest() == again["sha256"].replace(":", "")
