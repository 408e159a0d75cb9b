"""Two services of one deployment: what is changed at one is so at the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from functional.test_cli import Rdms
from functional.test_events import EVENTS, await_event, listen
from live.browser import WebClient, csrf_of
from live.postgresql import PostgreSql
from live.service import PASSWORD, USER, rdms, until
from live.services import Member, Services, services
from openrdms.cli.rdms_client import Login, RdmsClient

SECOND_PASSWORD = "another horse staple"
POOL = ("--prefix", "d-", "--image", "image:tiny", "--host", "host1=2", "--wait")


@pytest.fixture(scope="module")
def two(postgresql: PostgreSql, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    times = "hosts=1&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5&users=0"
    with services(tmp_path_factory.mktemp("two"), postgresql, times, count=2) as started:
        yield started


def test_accounts_and_their_sessions(two: Services, tmp_path: Path) -> None:
    one, other = two.members
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    at_one = ("--state-dir", one.state_dir)
    rdms("user", "add", "ann", "--role", "operator", "--password-file", password, *at_one)
    with WebClient(other) as there, WebClient(one) as here:
        until("she may come in", lambda: there.try_sign_in("ann", PASSWORD).status_code == 303)
        here.cookies = there.cookies
        assert here.get("/api/v1/me").json()["name"] == "ann"
        signed_out = here.post("/sign-out", data={"csrf_token": csrf_of(here.get("/").text)})
        assert signed_out.status_code == 303
        until("it is over", lambda: there.get("/api/v1/me").status_code == 401)
    password.write_text(SECOND_PASSWORD + "\n")
    with WebClient(other) as there:
        there.sign_in("ann", PASSWORD)
        rdms("user", "set", "ann", "--password-file", password, *at_one)
        until("it is over", lambda: there.get("/api/v1/me").status_code == 401)
    with WebClient(other) as there:
        assert there.try_sign_in("ann", PASSWORD).status_code != 303
        there.sign_in("ann", SECOND_PASSWORD)
    rdms("user", "set", "ann", "--disable", *at_one)
    with WebClient(other) as there:
        until("she is out", lambda: there.try_sign_in("ann", SECOND_PASSWORD).status_code != 303)


def test_live_views_hear_and_pools_are_kept_by_one(two: Services, tmp_path: Path) -> None:
    one, other = two.members
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    place = ("--state-dir", one.state_dir)
    rdms("user", "add", "bob", "--role", "user", "--password-file", password, *place)
    with WebClient(other) as client:
        client.sign_in(USER, PASSWORD)
        with client.stream("GET", EVENTS, params={"kinds": "collection"}) as reply:
            events = listen(reply)
            next(events)
            Rdms(one).read("collection", "create", "Pool", "--alias", "pool", *POOL)
            assert "pool" in await_event(events, "collection")["data"]
    ids = [member.ready["service"] for member in two.members]
    duties = "SELECT name, service FROM duties WHERE name IN ('pools', 'schedules')"
    until("both are somebody's", lambda: len(two.read(duties)) == 2)
    assert {service for _, service in two.read(duties)} <= set(ids)
    given = Rdms(one).run("collection", "set", "pool", "--user-group", "Everyone")
    assert given.exit_code == 0, given.output

    def connect(member: Member, user: str) -> str:
        found = Rdms(member).read("desktop", "connect", "pool", user, "--wait", "60")
        return str(found["VMName"])

    got = [connect(member, user) for member, user in zip(two.members, (USER, "bob"), strict=True)]
    assert sorted(got) == ["d-1", "d-2"]
    assert [connect(member, USER) for member in two.members] == [got[0]] * 2


def test_a_pool_is_kept_by_another_when_its_service_dies(two: Services) -> None:
    def count_ready() -> int:
        return int(two.read("SELECT count(*) FROM desktop_uses WHERE use = 'ready'")[0][0])

    ((keeper,),) = two.read("SELECT service FROM duties WHERE name = 'pools'")
    dead = next(member for member in two.members if member.ready["service"] == keeper)
    other = next(member for member in two.members if member is not dead)
    dead.kill()
    certificate = other.state_dir / "tls" / "certificate.pem"
    client = RdmsClient(Login(other.ready["wsman_https"], USER, PASSWORD, certificate))
    whose = ("OpenRDMS_Pool", "Release", {"CollectionAlias": "pool"})
    for user in (USER, "bob"):
        client.invoke(*whose, UserName=user, UserDomain="")
    until("what they left is fresh again", lambda: count_ready() == 2)
    holders = "SELECT DISTINCT service FROM duties WHERE name <> 'draining'"
    until("it has all duties", lambda: two.read(holders) == [(other.ready["service"],)])
