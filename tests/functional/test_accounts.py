"""Accounts, roles and the audit log of a running service: `rdms user`, `rdms audit`, pypsrp."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pypsrp.exceptions import AuthenticationError
from typer.testing import CliRunner

from live.service import PASSWORD, Service, run_rdms
from live.wire import Wire, fault
from openrdms import cli

ServiceFactory = Callable[..., Service]

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
SESSION = "Win32_VirtualDesktopSession"
NODE = "Win32_RDMSJoinedNode"
SETTINGS = "Win32_RDMSDeploymentSettings"
SECRET = "helen's own secret"


class Rdms:
    """The command, in this process; without a service in one of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.password_file = service.state_dir.parent / "secret"
        self.password_file.write_text(SECRET + "\n")

    def run(self, *arguments: str, code: int = 0) -> Any:
        """What it prints as JSON, or says on standard error when it is to fail."""
        command = [*arguments, "--state-dir", str(self.service.state_dir), "--json"]
        result = CliRunner().invoke(cli.build(arguments[:1]), command)
        assert result.exit_code == code, result.output
        return result.stderr if code else json.loads(result.stdout)

    def run_alone(self, *arguments: str, code: int = 0) -> Any:
        done = run_rdms([*arguments, "--state-dir", str(self.service.state_dir), "--json"])
        assert done.returncode == code, done.stderr
        return done.stderr if code else json.loads(done.stdout)

    def add(self, name: str, role: str, *options: str) -> Any:
        file = str(self.password_file)
        return self.run("user", "add", name, "--role", role, "--password-file", file, *options)

    def sign_in(self, name: str, password: str = SECRET) -> Wire:
        return Wire(self.service.client(user=name, password=password))


@pytest.fixture(scope="module")
def rdms(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Rdms:
    place = tmp_path_factory.mktemp("accounts")
    return Rdms(running_service(place / "state", f"simulator://{place}/cluster?hosts=1"))


def assert_denied(call: Callable[[], object]) -> None:
    with fault() as denied:
        call()
    assert denied.subcode == "AccessDenied"


def create(wire: Wire, alias: str) -> None:
    wire.create(COLLECTION, {"Alias": alias, "Name": alias, "Type": "1", "IsManaged": "false"})


def test_the_administrator_of_the_command_line_is_an_account(rdms: Rdms) -> None:
    admin = rdms.run("user", "show", "ADMIN")
    assert (admin["role"], admin["enabled"], admin["ntlm"]) == ("administrator", True, False)
    assert admin["sid"].endswith("-500")
    assert "argon2" not in json.dumps(admin)
    assert "last enabled administrator" in rdms.run("user", "remove", "admin", code=1)
    with_role = ("user", "set", "admin", "--role", "operator")
    assert "last enabled administrator" in rdms.run(*with_role, code=1)


def test_an_operator_may_all_but_change_the_deployment(rdms: Rdms) -> None:
    rdms.add("olga", "operator")
    wire = rdms.sign_in("OLGA")
    create(wire, "olgas")
    assert [item["Alias"] for item in wire.enumerate(COLLECTION, "Alias = 'olgas'")] == ["olgas"]
    secret = {"ConnectionString": "Server=db;Pwd=x"}
    assert_denied(lambda: wire.invoke(SETTINGS, "SetConnectionString", {}, **secret))
    assert_denied(lambda: wire.invoke(SETTINGS, "GetConnectionString"))


def test_the_help_desk_has_sessions_and_no_more(rdms: Rdms) -> None:
    rdms.add("helen", "helpdesk")
    wire = rdms.sign_in("helen")
    assert wire.enumerate(SESSION) == []
    assert wire.invoke(NODE, "GetJoinedNodeCount", roleType="4").return_value == 0
    gone = {"VMHostName": "host1", "SessionId": "77"}
    with fault() as absent:
        wire.get(SESSION, **gone)
    assert absent.subcode == "DestinationUnreachable"
    assert_denied(lambda: wire.enumerate(COLLECTION))
    assert_denied(lambda: wire.enumerate(NODE))
    assert_denied(lambda: create(wire, "helens"))


def test_an_auditor_reads_and_changes_nothing(rdms: Rdms) -> None:
    rdms.add("arthur", "auditor")
    create(Wire(rdms.service.client()), "seen")
    wire = rdms.sign_in("arthur")
    assert wire.get(COLLECTION, Alias="seen")["Name"] == "seen"
    assert_denied(lambda: create(wire, "arthurs"))
    assert_denied(lambda: wire.delete(COLLECTION, Alias="seen"))
    assert_denied(lambda: wire.put(COLLECTION, {"Name": "other"}, Alias="seen"))
    keys = {"Alias": "seen"}
    assert_denied(lambda: wire.invoke(COLLECTION, "SetInt32Property", keys, Key="k", Value="1"))
    assert_denied(lambda: wire.invoke(SETTINGS, "GetConnectionString"))
    assert wire.get(COLLECTION, Alias="seen")["Name"] == "seen"


def test_a_user_of_desktops_may_nothing_here(rdms: Rdms) -> None:
    rdms.add("ursula", "user", "--group", "Staff")
    wire = rdms.sign_in("ursula")
    assert_denied(lambda: wire.enumerate(SESSION))
    assert_denied(lambda: wire.invoke(NODE, "GetJoinedNodeCount", roleType="4"))
    assert len(rdms.run("user", "show", "ursula")["sids"]) == 4


def test_changes_count_at_once_for_connections_that_are_open(rdms: Rdms) -> None:
    rdms.add("carl", "auditor")
    wire = rdms.sign_in("carl")
    wire.enumerate(COLLECTION)
    rdms.run("user", "set", "carl", "--role", "helpdesk")
    assert_denied(lambda: wire.enumerate(COLLECTION))
    rdms.run("user", "set", "carl", "--disable")
    with pytest.raises(AuthenticationError):
        wire.enumerate(SESSION)
    rdms.run("user", "set", "carl", "--enable", "--add-group", "Night")
    rdms.sign_in("carl").enumerate(SESSION)
    rdms.run("user", "remove", "carl")
    with pytest.raises(AuthenticationError):
        rdms.sign_in("carl").enumerate(SESSION)
    assert "no account" in rdms.run("user", "show", "carl", code=1)


def test_wrong_use_is_told(rdms: Rdms) -> None:
    short = rdms.service.state_dir.parent / "short"
    short.write_text("1234567")
    add = ("user", "add", "nobody")
    assert "8 characters" in rdms.run(*add, "--role", "user", "--password-file", str(short), code=1)
    assert "--password-file" in rdms.run(*add, "--role", "user", code=2)
    assert "emperor" in rdms.run(*add, "--role", "emperor", "--no-password", code=2)
    assert "may not contain" in rdms.run(
        "user", "add", "a:b", "--role", "user", "--no-password", code=1
    )
    assert "nobody" not in [user["name"] for user in rdms.run("user", "list")]


def test_an_nt_hash_waits_for_the_password(rdms: Rdms) -> None:
    rdms.add("nora", "auditor")
    assert rdms.run("user", "set", "nora", "--ntlm")["nt_hash"] is False
    rdms.sign_in("nora").enumerate(COLLECTION)
    assert rdms.run("user", "show", "nora")["nt_hash"] is True
    file = rdms.service.state_dir / "security" / "nt-hashes"
    assert file.read_text().startswith("nora:")
    assert file.stat().st_mode & 0o777 == 0o600
    rdms.run("user", "set", "nora", "--no-ntlm")
    assert not file.exists()


class TestAudit:
    def test_who_changed_what_and_what_came_of_it(self, rdms: Rdms) -> None:
        rdms.add("olaf", "operator")
        wire = rdms.sign_in("olaf")
        create(wire, "olafs")
        wire.invoke(COLLECTION, "SetStringProperty", {"Alias": "olafs"}, Key="k", Value="private")
        with fault():
            create(wire, "olafs")
        assert_denied(lambda: wire.invoke(SETTINGS, "RemoveDeploymentSetting", Key="k"))
        calls = rdms.run("audit", "log", "--user", "OLAF")
        assert [(call["what"].rpartition("/")[2], call["result"]) for call in calls] == [
            ("Create", "0"),
            ("SetStringProperty", "0"),
            ("Create", "ALREADY_EXISTS"),
            ("RemoveDeploymentSetting", "denied"),
        ]
        assert {call["address"] for call in calls} == {"127.0.0.1"}
        assert calls[1]["on"] == {"Alias": "olafs"}
        assert calls[1]["parameters"] == {"Key": "k", "Value": "…"}
        of_settings = rdms.run("audit", "log", "--class", SETTINGS.lower(), "--user", "olaf")
        assert of_settings == [calls[3]]
        assert rdms.run("audit", "log", "--user", "olaf", "--limit", "1") == [calls[3]]
        assert rdms.run("audit", "log", "--user", "olaf", "--since", "2999-01-01") == []

    def test_a_sign_in_that_failed(self, rdms: Rdms) -> None:
        with pytest.raises(AuthenticationError):
            rdms.sign_in("mallory", "guess").enumerate(SESSION)
        (call, *_) = rdms.run("audit", "log", "--user", "mallory")
        assert (call["what"], call["result"]) == ("sign in/Basic", "denied")
        assert "guess" not in json.dumps(call)

    def test_commands_of_the_machine(self, rdms: Rdms) -> None:
        rdms.add("petra", "user", "--group", "Staff")
        done = [call for call in rdms.run("audit", "log") if call["what"] == "user add"][-1]
        assert (done["address"], done["result"]) == ("local", "0")
        assert done["parameters"] == {
            "name": "petra",
            "role": "user",
            "groups": ["Staff"],
            "password": "…",
        }
        missing = rdms.run("user", "remove", "nobody", code=1)
        assert "nobody" in missing
        assert rdms.run("audit", "log", "--limit", "1")[0]["result"] == "0x80041002"

    def test_the_chain_is_whole_and_tables_are_readable(self, rdms: Rdms) -> None:
        found = rdms.run("audit", "verify")
        assert found["records"] > 0
        assert len(found["hash"]) == 64
        command = ["audit", "log", "--state-dir", str(rdms.service.state_dir)]
        table = CliRunner().invoke(cli.build(["audit"]), command)
        assert table.exit_code == 0, table.output
        assert "name=admin" in table.stdout


def test_without_a_service_and_what_a_kill_leaves(services: ServiceFactory, tmp_path: Path) -> None:
    service = services(tmp_path / "state", f"simulator://{tmp_path}/cluster?hosts=1")
    rdms = Rdms(service)
    service.start()
    rdms.add("olga", "operator")
    service.kill()
    rdms.run_alone("user", "set", "olga", "--role", "helpdesk")
    file = str(rdms.password_file)
    rdms.run_alone("user", "add", "boss", "--role", "administrator", "--password-file", file)
    rdms.run_alone("user", "set", "admin", "--disable")
    before = rdms.run_alone("audit", "verify")
    service.start()
    assert rdms.run("audit", "verify")["records"] >= before["records"]
    assert_denied(lambda: rdms.sign_in("olga").enumerate(COLLECTION))
    rdms.sign_in("boss").enumerate(COLLECTION)
    rdms.sign_in("admin", PASSWORD).enumerate(COLLECTION)  # as every start makes it
    service.stop()
    with closing(sqlite3.connect(service.state_dir / "records.sqlite")) as database, database:
        database.execute("UPDATE audit_log SET who = 'olga' WHERE sequence = 3")
    assert "record 3 is not what was written" in rdms.run_alone("audit", "verify", code=1)
