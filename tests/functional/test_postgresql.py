"""A service whose records and jobs are in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ServiceFactory
from live.browser import WebClient
from live.postgresql import USER as DATABASE_USER
from live.postgresql import PostgreSql, running_server
from live.rollout import COLLECTION, begin_create, cancel, follow, remove_all
from live.service import PASSWORD, USER, Service, rdms, until
from live.wire import Wire, fault
from openrdms.adapters import simulator
from openrdms.model.errors import WbemCode
from openrdms.security.shared_key import make_key

SETTINGS = "Win32_RDMSDeploymentSettings"


def find_hosts(place: Path) -> list[dict[str, Any]]:
    """The simulator's, past the service."""
    hosts: list[dict[str, Any]] = simulator.read_state(place / "cluster")["hosts"]
    return hosts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("on-postgresql")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    """Of this module alone, which stops it."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def database(server: PostgreSql) -> str:
    return server.create_database()


@pytest.fixture(scope="module")
def service(place: Path, server: PostgreSql, database: str, services: ServiceFactory) -> Service:
    make_key(place / "key")
    options = (
        *("--shared-key", str(place / "key")),
        *("--database", server.url(database, password=False)),
        *("--database-password-file", str(server.password_file)),
    )
    made = services(place / "state", f"simulator://{place}/cluster?hosts=2", options=options)
    made.start()
    return made


def test_jobs_create_are_cancelled_and_delete(service: Service, place: Path) -> None:
    wire = service.wire()
    done = follow(wire, begin_create(wire, "whole", 10))
    assert (done.state, done.succeeded) == ("JOB_COMPLETED", 10)

    guid = begin_create(wire, "half", 60)
    until("something of it is made", lambda: "half-" in str(find_hosts(place)))
    assert cancel(wire, guid) == 0
    assert follow(wire, guid).state == "JOB_ABORTED"
    assert "half-" not in str(find_hosts(place))

    remove_all(wire, "whole")
    assert [host["vms"] for host in find_hosts(place)] == [[], []]
    assert service.find_orphans() == []


def test_a_job_goes_on_after_a_kill(service: Service, place: Path) -> None:
    guid = begin_create(service.wire(), "killed", 40)
    until("something of it is made", lambda: "killed-" in str(find_hosts(place)))
    service.kill()
    service.start()
    wire = service.wire()
    done = follow(wire, guid)
    assert (done.state, done.succeeded) == ("JOB_COMPLETED", 40)
    remove_all(wire, "killed")
    assert service.find_orphans() == []


def test_nothing_is_in_files_and_all_in_one_database(
    service: Service, server: PostgreSql, database: str
) -> None:
    assert not list(service.state_dir.glob("*.sqlite"))
    with server.connect(database) as records:
        tables = records.execute(
            "SELECT schemaname, count(*) FROM pg_tables"
            " WHERE schemaname IN ('public', 'dbos') GROUP BY 1"
        ).fetchall()
        users = records.execute("SELECT name FROM accounts").fetchall()
    assert sorted(name for name, _ in tables) == ["dbos", "public"]
    assert users == [("admin",)]


def test_the_connection_string_is_that_of_the_database_without_its_password(
    service: Service, server: PostgreSql, database: str
) -> None:
    wire = service.wire()
    own = str(wire.invoke(SETTINGS, "GetConnectionString").outputs["ConnectionString"])
    assert own == (
        f"Driver={{PostgreSQL Unicode}};Server=127.0.0.1;Port={server.port};Database={database};"
        f"UID={DATABASE_USER};Pwd=********"
    )
    assert wire.invoke(SETTINGS, "SetConnectionString", ConnectionString=own).return_value == 0
    other = own.replace(database, "elsewhere")
    refused = wire.invoke(SETTINGS, "SetConnectionString", ConnectionString=other)
    assert refused.return_value == WbemCode.INVALID_PARAMETER
    again = wire.invoke(SETTINGS, "GetConnectionString").outputs["ConnectionString"]
    assert again == own


def test_what_is_asked_while_the_database_is_away_is_to_be_asked_again(
    service: Service, server: PostgreSql
) -> None:
    wire = service.wire()
    with WebClient(service) as web:
        web.sign_in(USER, PASSWORD)
        server.stop()
        try:
            _ask_in_vain(wire, web)
        finally:
            server.start()
        until("it answers again", lambda: web.get("/api/v1/collections").status_code == 200)
    wire.create(COLLECTION, {"Alias": "later", "Name": "Later", "Type": "1"})
    wire.delete(COLLECTION, Alias="later")


def _ask_in_vain(wire: Wire, web: WebClient) -> None:
    with fault() as refused:
        wire.create(COLLECTION, {"Alias": "later", "Name": "Later", "Type": "1"})
    assert refused.code == WbemCode.NOT_AVAILABLE
    answer = web.get("/api/v1/collections")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["code"] == WbemCode.NOT_AVAILABLE


def test_commands_without_a_service_use_the_same_records(service: Service) -> None:
    service.stop()
    users = rdms("user", "list", "--state-dir", service.state_dir)
    assert [user["name"] for user in users] == ["admin"]
    service.start()
