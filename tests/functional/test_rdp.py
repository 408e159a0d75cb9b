"""RDP files and the relay that they lead to, on the simulator; a client's first octets."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from functional.test_cli import Rdms
from live.browser import WebClient, csrf_of
from live.rdp import CONFIRMATION, is_ended, read, request
from live.service import Service, until
from openrdms.adapters import simulator
from openrdms.model import sddl
from openrdms.model.rdp_file import Setting, decode, find, parse
from openrdms.security import certificate

ServiceFactory = Callable[..., Service]
SignIn = Callable[[str], WebClient]

TIMES = "clone_ms=20&start_ms=20&boot_ms=100&agent_ms=10&destroy_ms=10&users=0"
HOST = "host1.sim.local"
SECRET = "quite a long password"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rdp")


@pytest.fixture(scope="module")
def rdms(running_service: ServiceFactory, place: Path) -> Rdms:
    """A pool for the Staff, with a calculator for ann alone."""
    signer = certificate.ensure(place / "signer", "publisher.example")
    options = ("--rdp-cert", str(signer.certificate), "--rdp-key", str(signer.key))
    cluster = f"simulator://{place}/cluster?hosts=1&{TIMES}"
    rdms = Rdms(running_service(place / "state", cluster, options=options))
    password = place / "users-password"
    password.write_text(f"{SECRET}\n")
    for name, group in {"ann": "Staff", "bob": "Staff", "eve": "Guests"}.items():
        who = ("user", "add", name, "--role", "user", "--group", group)
        rdms.read(*who, "--password-file", str(password))
    rdms.read(
        *("collection", "create", "Büro & Co", "--alias", "pool", "--prefix", "d-"),
        *("--image", "image:tiny", "--host", "host1=3", "--wait"),
    )
    rdms.read("collection", "set", "pool", "--user-group", "Staff")
    return rdms


@pytest.fixture
def sign_in(rdms: Rdms) -> Iterator[SignIn]:
    with ExitStack() as clients:

        def sign_in(name: str) -> WebClient:
            client = clients.enter_context(WebClient(rdms.service))
            client.sign_in(name, SECRET)
            return client

        yield sign_in


def fetch(client: WebClient, query: str = "", collection: str = "pool") -> list[Setting]:
    reply = client.get(f"/api/v1/me/connections/{collection}.rdp{query}")
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-rdp"
    return parse(decode(reply.content))


def value(settings: list[Setting], name: str) -> str:
    found = find(settings, name)
    assert found, name
    return found.value


def enter(service: Service, settings: list[Setting]) -> tuple[socket.socket, str]:
    """As a client does that opened the file; returns the desktop it is on, too."""
    host, _, port = value(settings, "full address").partition(":")
    assert f"{host}:{port}" == service.ready["rdp"]
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(request(value(settings, "loadbalanceinfo").encode()))
    assert read(connection, len(CONFIRMATION)) == CONFIRMATION
    return connection, connection.makefile().readline().strip()


def test_a_file_leads_to_ones_own_desktop_again_and_again(rdms: Rdms, sign_in: SignIn) -> None:
    ann, bob = fetch(sign_in("ann")), fetch(sign_in("bob"))
    assert (value(ann, "username"), value(bob, "username")) == ("ann", "bob")
    first, hers = enter(rdms.service, ann)
    second, his = enter(rdms.service, bob)
    again, same = enter(rdms.service, ann)
    with closing(first), closing(second), closing(again):
        assert hers == same != his
        first.sendall(b"octets")
        assert read(first, 6) == b"octets"
    uses = rdms.service.read_rows("SELECT name_key, holder FROM desktop_uses")
    assert {name: holder for name, holder in uses if holder} == {hers: "ann", his: "bob"}


def test_it_ends_when_the_user_logs_off(rdms: Rdms, sign_in: SignIn, place: Path) -> None:
    settings = fetch(sign_in("ann"))
    connection, desktop = enter(rdms.service, settings)
    with closing(connection):
        simulator.log_on(place / "cluster", HOST, desktop, "ann")
        query = "SELECT seen FROM desktop_uses WHERE name_key = ?"
        until("she is seen", lambda: rdms.service.read_rows(query, desktop) == [(1,)])
        simulator.log_off(place / "cluster", HOST, desktop, "ann")
        assert is_ended(connection)
    back, _ = enter(rdms.service, settings)
    back.close()


def test_it_ends_with_the_account(rdms: Rdms, sign_in: SignIn) -> None:
    settings = fetch(sign_in("bob"))
    connection, _ = enter(rdms.service, settings)
    with closing(connection):
        rdms.read("user", "set", "bob", "--disable")
        assert is_ended(connection)
    host, _, port = rdms.service.ready["rdp"].partition(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as refused:
        refused.sendall(request(value(settings, "loadbalanceinfo").encode()))
        assert is_ended(refused)
    rdms.read("user", "set", "bob", "--enable")


def test_files_are_revoked_by_their_user(rdms: Rdms, sign_in: SignIn) -> None:
    client = sign_in("ann")
    settings = fetch(client)
    client.headers["x-csrf-token"] = csrf_of(client.get("/").text)
    assert client.delete("/api/v1/me/rdp-files").status_code == 204
    host, _, port = rdms.service.ready["rdp"].partition(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as refused:
        refused.sendall(request(value(settings, "loadbalanceinfo").encode()))
        assert is_ended(refused)
    again, _ = enter(rdms.service, fetch(client))
    again.close()


def test_a_wrong_token_is_refused_and_on_record(rdms: Rdms) -> None:
    host, _, port = rdms.service.ready["rdp"].partition(":")
    for first in (request(b"openrdms:" + b"x" * 22), b"GET / HTTP/1.1\r\n\r\n"):
        with closing(socket.create_connection((host, int(port)), timeout=60)) as client:
            client.sendall(first)
            assert is_ended(client)
    log = rdms.read("audit", "log")
    assert "sign in/rdp" in {record["what"] for record in log}


def test_who_may_not_use_a_collection_gets_no_file(sign_in: SignIn) -> None:
    eve = sign_in("eve")
    assert eve.get("/api/v1/me/connections/pool.rdp").status_code == 403
    assert sign_in("ann").get("/api/v1/me/connections/none.rdp").status_code == 404
    for path in ("..%2Fpool.rdp", "pool.rdp%00", ".rdp", "%2e%2e.rdp"):
        assert eve.get(f"/api/v1/me/connections/{path}").status_code in (400, 404, 405, 422), path


def test_what_a_file_says(rdms: Rdms, sign_in: SignIn) -> None:
    custom = "use multimon:i:0\nkdcproxyname:s:kdc.example"
    rdms.read("collection", "set", "pool", "redirect=32", "printer=off", f"custom-rdp={custom}")
    refused = rdms.run("collection", "set", "pool", "custom-rdp=full address:s:evil.example")
    assert refused.exit_code == 1
    rdms.read(
        *("deployment", "gateway", "usage=always", "name=gate.corp.example"),
        *("logon=password", "cached-credentials=on"),
    )
    client = sign_in("ann")
    reply = client.get("/api/v1/me/connections/pool.rdp")
    assert reply.headers["content-disposition"] == (
        "attachment; filename=\"B_ro _ Co.rdp\"; filename*=UTF-8''B%C3%BCro%20%26%20Co.rdp"
    )
    said = parse(decode(reply.content))
    assert (value(said, "redirectclipboard"), value(said, "redirectdrives")) == ("1", "0")
    assert (value(said, "redirectprinters"), value(said, "use multimon")) == ("0", "0")
    assert value(said, "kdcproxyname") == "kdc.example"
    assert (value(said, "gatewayhostname"), value(said, "gatewayusagemethod")) == (
        "gate.corp.example",
        "1",
    )
    assert reply.headers["cache-control"] == "no-store"


def test_an_application(rdms: Rdms, sign_in: SignIn) -> None:
    [ann] = [one for one in rdms.read("user", "list") if one["name"] == "ann"]
    for_ann = str(sddl.allow_groups([ann["sid"]]))
    rdms.read(
        *("application", "publish", "pool", "Calculator", "/usr/bin/xcalc", "--alias", "calc"),
        *("--security-descriptor", for_ann),
    )
    try:
        said = fetch(sign_in("ann"), "?application=CALC")
        assert value(said, "remoteapplicationmode") == "1"
        assert value(said, "remoteapplicationprogram") == "/usr/bin/xcalc"
        assert value(said, "remoteapplicationname") == "Calculator"
        bob = sign_in("bob")
        assert bob.get("/api/v1/me/connections/pool.rdp?application=calc").status_code == 403
    finally:
        rdms.read("application", "remove", "pool", "calc")


def test_a_signature_that_the_verifier_takes(
    rdms: Rdms, sign_in: SignIn, place: Path, tmp_path: Path
) -> None:
    file = tmp_path / "office.rdp"
    file.write_bytes(sign_in("ann").get("/api/v1/me/connections/pool.rdp").content)
    signer = str(place / "signer" / "certificate.pem")
    assert rdms.run("rdp", "verify", str(file), "--signer", signer).exit_code == 0
    here, elsewhere = (text.encode("utf-16-le") for text in ("127.0.0.1", "127.6.6.6"))
    assert here in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(here, elsewhere))
    assert rdms.run("rdp", "verify", str(file), "--signer", signer).exit_code == 1


def test_a_name_that_is_not_ours_is_never_signed(rdms: Rdms, sign_in: SignIn) -> None:
    client = sign_in("ann")
    reply = client.get("/api/v1/me/connections/pool.rdp", headers={"host": "evil.example"})
    said = parse(decode(reply.content))
    assert "evil" not in value(said, "full address")


def test_nobody_gets_nothing(rdms: Rdms) -> None:
    with WebClient(rdms.service) as client:
        assert client.get("/api/v1/me/connections/pool.rdp").status_code == 401
    rows = rdms.service.read_rows("SELECT secret_hash FROM rdp_tokens")
    log = subprocess.run(
        ["grep", "-c", "openrdms:", str(rdms.service.state_dir / "service.log")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rows
    assert log.stdout.strip() == "0"
