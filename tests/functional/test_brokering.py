"""Users get desktops from a running service, by the rdms command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from functional.test_cli import Rdms
from live.service import Service, until
from openrdms.adapters import simulator

ServiceFactory = Callable[..., Service]

TIMES = "clone_ms=20&start_ms=20&boot_ms=100&agent_ms=10&destroy_ms=10&users=0"


@pytest.fixture(scope="module")
def rdms(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Rdms:
    place = tmp_path_factory.mktemp("broker")
    return Rdms(running_service(place / "state", f"simulator://{place}/cluster?hosts=2&{TIMES}"))


@pytest.fixture(scope="module")
def pool(rdms: Rdms) -> str:
    created = rdms.read(
        *("collection", "create", "Pool", "--alias", "pool", "--prefix", "d-"),
        *("--image", "image:tiny", "--host", "host1=1", "--host", "host2=1", "--wait"),
    )
    assert created["TotalSucceeded"] == 2
    return "pool"


def log_on(rdms: Rdms, given: dict[str, str], user: str) -> tuple[Path, str, str, str]:
    session = (rdms.cluster, given["VMHostName"], given["VMName"], user)
    simulator.log_on(*session)
    return session


def test_desktops_are_given_used_and_given_again(rdms: Rdms, pool: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("quite a long password\n")
    for name in ("ada", "eve"):
        role = ("--role", "administrator", "--password-file", str(password))
        rdms.read("user", "add", name, *role)
    first = rdms.read("desktop", "connect", pool, "CORP\\admin", "--wait", "60")
    assert (first["How"], set(first)) == ("spare", {"VMName", "VMHostName", "How"})
    session = log_on(rdms, first, "admin")
    second = rdms.read("desktop", "connect", "POOL", "LAB\\ada", "--wait", "60")
    log_on(rdms, second, "ada")
    assert {first["VMName"], second["VMName"]} == {"d-1", "d-2"}
    again = until(
        "he is seen",
        lambda: (
            (answer := rdms.read("desktop", "connect", pool, "admin"))["How"] == "own" and answer
        ),
    )
    assert again["VMName"] == first["VMName"]

    asked = rdms.run("desktop", "connect", pool, "eve", "--json")
    waiting = json.loads(asked.stdout)
    assert (asked.exit_code, asked.stderr) == (5, "")
    assert (waiting["ReasonCode"], waiting["Position"]) == ("NoDesktopLeft", 1)
    said = rdms.refuse(5, "desktop", "connect", pool, "eve")
    words = f"eve has no desktop yet: all desktops of {pool} are in use (NoDesktopLeft)"
    assert said == f"rdms: {words}, he is number 1 in line\n"

    sent = rdms.read("session", "message", "--collection", pool, "Note", "Maintenance at 5")
    assert sorted((row["VMName"], row["Result"]) for row in sent) == [("d-1", 0), ("d-2", 0)]
    message = {"title": "Note", "text": "Maintenance at 5"}
    shown = [one["messages"] for vm in rdms.truth().values() for one in vm["sessions"]]
    assert shown == [[message], [message]]

    simulator.log_off(*session)
    third = rdms.read("desktop", "connect", pool, "eve", "--wait", "60")
    assert third["VMName"] == first["VMName"]
    assert rdms.truth()[first["VMName"]]["sessions"] == []


def test_refusals_say_why(rdms: Rdms, pool: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("quite a long password\n")
    rdms.read("user", "add", "ann", "--role", "user", "--password-file", str(password))
    said = rdms.refuse(1, "desktop", "connect", pool, "ann")
    assert "NoAccess: ann may not use collection 'pool'" in said
    assert "no account is called 'mia'" in rdms.refuse(1, "desktop", "connect", pool, "mia")
    said = rdms.refuse(2, "session", "message", "--collection", pool, "text alone")
    assert "TITLE TEXT" in said
    assert "HOST SESSION TEXT" in rdms.refuse(2, "session", "message", "host1", "one", "text")
