"""Signing in with what an LDAP directory knows: accounts, roles, collections, and their end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pypsrp.exceptions import AuthenticationError

from functional.test_cli import Rdms
from live.browser import WebClient
from live.service import PASSWORD, USER, Service, until
from live.slapd import (
    GROUPS,
    PEOPLE,
    READER,
    READER_PASSWORD,
    SECRET,
    Slapd,
    dn_of,
    group_dn,
)
from live.wire import Wire

OPTIONS = """
[ldap]
source = "corp"
url = "{url}"
ca_file = "{ca}"
bind_dn = "{reader}"
bind_password_file = "{password_file}"
user_base = "{people}"
user_filter = "(&(objectClass=inetOrgPerson)(uid={{name}}))"
group_base = "{groups}"
[ldap.roles]
operator = ["{operators}"]
"""
TIMES = "clone_ms=20&start_ms=20&boot_ms=100&agent_ms=10&destroy_ms=10&users=0"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("slapd"))
    try:
        server.start()
        server.fill()
        for name in ("ann", "bob", "olga", USER):
            server.add_person(name)
        server.add_group("staff", dn_of("ann"))
        server.add_group("vdi", group_dn("staff"))
        server.add_group("operators", dn_of("olga"))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def service(directory: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path: Path = tmp_path_factory.mktemp("corp")
    (path / "reader").write_text(READER_PASSWORD + "\n")
    text = OPTIONS.format(
        url=directory.url, ca=directory.certificate, reader=READER, people=PEOPLE, groups=GROUPS,
        password_file=path / "reader", operators=group_dn("operators"),
    )  # fmt: skip
    (path / "sign-in.toml").write_text(text)
    options = ("--sign-in", str(path / "sign-in.toml"))
    hosts = f"simulator://{path}/cluster?hosts=1&{TIMES}"
    running = Service(path / "state", hosts, options=options)
    try:
        running.start()
        yield running
    finally:
        running.clear()


@contextmanager
def sign_in(service: Service, name: str, password: str = SECRET) -> Iterator[WebClient]:
    with WebClient(service) as client:
        client.sign_in(name, password)
        yield client


def test_roles_by_groups(service: Service) -> None:
    with sign_in(service, "olga") as olga, sign_in(service, "BOB") as bob:
        assert olga.get("/api/v1/me").json()["role"] == "operator"
        assert bob.get("/api/v1/me").json() | {"scopes": None} == {
            "name": "bob", "role": "user", "groups": [], "scopes": None,
        }  # fmt: skip
    Wire(service.client(user="olga", password=SECRET)).enumerate("Win32_VirtualDesktopSession")


def test_collections_by_groups_in_groups(service: Service) -> None:
    rdms = Rdms(service)
    with sign_in(service, "ann") as ann, sign_in(service, "bob") as bob:
        made = ("--alias", "pool", "--prefix", "pool-", "--image", "image:tiny")
        size = ("--host", "host1=1", "--user-group", "corp\\vdi")
        rdms.read("collection", "create", "Pool", *made, *size, "--wait")
        assert [one["collection"] for one in _resources(ann)] == ["pool"]
        assert _resources(bob) == []
        refused = bob.post("/api/v1/me/connections", json={"collection": "pool"})
        assert refused.status_code in (403, 404)


def _resources(client: WebClient) -> list[dict[str, str]]:
    items: list[dict[str, str]] = client.get("/api/v1/me/resources").json()["items"]
    return items


@pytest.mark.parametrize(
    ("name", "password"), [("ann", "wrong"), ("ann", ""), ("a*", SECRET), (USER, SECRET)]
)
def test_who_is_not_let_in(service: Service, name: str, password: str) -> None:
    with WebClient(service) as client:
        assert client.try_sign_in(name, password).status_code in (401, 422)
        assert client.get("/api/v1/me").status_code == 401
    if password:
        with pytest.raises(AuthenticationError):
            wire = Wire(service.client(user=name, password=password))
            wire.enumerate("Win32_VirtualDesktopSession")


def test_who_has_left_is_out_and_each_step_is_on_record(service: Service, directory: Slapd) -> None:
    directory.add_person("eve")
    with sign_in(service, "eve") as eve:
        held = eve.cookies["__Host-openrdms"]
        directory.remove(dn_of("eve"))
        service.restart()  # the first thing that it does is to look at them all
        with WebClient(service) as again:
            again.cookies.set("__Host-openrdms", held)
            until("she is out", lambda: again.get("/api/v1/me").status_code == 401)
            assert again.try_sign_in("eve", SECRET).status_code == 401
    with sign_in(service, USER, PASSWORD) as administrator:
        records = administrator.get("/api/v1/audit?who=eve&limit=100").json()["items"]
    said = {record["what"]: record["reason"] for record in records}
    assert "sign-in/Create" in said
    assert "wrong name or password" in said.values()


def test_a_directory_that_is_away(service: Service, directory: Slapd) -> None:
    with sign_in(service, "ann") as ann:
        directory.stop()
        try:
            with WebClient(service) as client:
                refused = client.try_sign_in("bob", SECRET)
                assert refused.status_code == 503
                assert "does not answer" in refused.text
            assert ann.get("/api/v1/me").status_code == 200  # for half an hour
            with sign_in(service, USER, PASSWORD) as administrator:
                assert administrator.get("/api/v1/me").status_code == 200
        finally:
            directory.start()
    with sign_in(service, "bob") as bob:
        assert bob.get("/api/v1/me").status_code == 200
