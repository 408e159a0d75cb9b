"""What the web port refuses: each of it is refused, is on record, and tells nothing."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pyotp
import pytest
from websockets.exceptions import InvalidStatus

from functional.portal_world import SECRET, PortalWorld, open_portal_world
from functional.test_own_desktops import Person, until_ready
from live.api import make_token
from live.browser import WebClient
from live.displays import WebDisplay, get_ticket, open_display
from live.rdp import CONFIRMATION, is_ended, read, request
from live.rfb import Ended, Viewer
from live.service import PASSWORD, USER, Service, until
from openrdms.model.rdp_file import decode, find, parse

ATTEMPTS = 500
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e{{7*7}}${7*7}"
COOKIE = "__Host-openrdms"
OPERATIONS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalWorld]:
    made = open_portal_world(tmp_path_factory.mktemp("hostile"))
    password = str(made.service.state_dir.parent / "users-password")
    for name, role in {"hal": "helpdesk", "olga": "administrator"}.items():
        made.rdms.read("user", "add", name, "--role", role, "--password-file", password)
    try:
        yield made
    finally:
        made.service.clear()


@pytest.fixture(scope="module")
def service(world: PortalWorld) -> Service:
    return world.service


@pytest.fixture
def nobody(service: Service) -> Iterator[WebClient]:
    with WebClient(service) as client:
        yield client


@pytest.fixture
def ann(world: PortalWorld) -> Iterator[Person]:
    with Person(world, "ann") as person:
        yield person


@pytest.fixture
def bob(world: PortalWorld) -> Iterator[Person]:
    with Person(world, "bob") as person:
        yield person


@pytest.fixture
def admin(world: PortalWorld) -> Iterator[Person]:
    with Person(world, USER, PASSWORD) as person:
        yield person


@pytest.fixture(scope="module")
def operations(service: Service) -> list[tuple[str, str]]:
    """Method and path of each operation, as the API describes itself."""
    with WebClient(service) as client:
        paths = client.get("/api/v1/openapi.json").json()["paths"]
    return [
        (method, path.replace("{", "").replace("}", ""))
        for path, operations in paths.items()
        for method in OPERATIONS
        if method in operations
    ]


def read_audit(world: PortalWorld) -> list[dict[str, Any]]:
    """All of it: how much is written after something depends on how quick the machine is."""
    calls: list[dict[str, Any]] = world.rdms.read("audit", "log", "--limit", "100000")
    return calls


def refusals(world: PortalWorld) -> set[tuple[str, str, str]]:
    """Who, what and why, of all on record."""
    log = read_audit(world)
    return {(one["who"], one["what"], one["reason"]) for one in log if one["result"] == "denied"}


def describe(reply: httpx.Response) -> str:
    return f"{reply.request.method} {reply.request.url}: {reply.status_code} {reply.text[:300]}"


# Nobody


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"headers": {"authorization": "Bearer rdms_" + "x" * 43}},
        {"headers": {"authorization": b"Bearer \xff"}},
        {"headers": {"authorization": "Basic YWRtaW46YWRtaW4="}},
        {"headers": {"cookie": f"{COOKIE}={'x' * 43}"}},
        {"headers": {"content-type": "application/json"}, "content": b"{"},
        {"headers": {"content-type": "application/json"}, "content": b"[" * 500_000},
        {"headers": {"content-type": "multipart/form-data"}, "content": b"x"},
        {"params": {"limit": "none", "cursor": "x"}},
    ],
    ids=["nothing", "token", "octets", "basic", "cookie", "json", "depth", "form", "query"],
)
def test_nobody_learns_anything(
    nobody: WebClient, operations: list[tuple[str, str]], sent: dict[str, object]
) -> None:
    for method, path in operations:
        reply = nobody.request(method, path, **sent)  # type: ignore[arg-type]
        assert reply.status_code == 401, describe(reply)
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"] == "sign in, or send an API token"


def test_a_token_that_is_none_is_on_record(world: PortalWorld, nobody: WebClient) -> None:
    nobody.get("/api/v1/me", headers={"authorization": "Bearer rdms_none"})
    assert ("", "sign in/web", "no such token, or not any more") in refusals(world)


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/%2e%2e/backend.py"),
        *("/modules/..%5c..%5cetc%5cpasswd", "/static/..%c0%af..%c0%afetc/passwd"),
        *("/static/%00", "/static//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"),
        *("/RDWeb/Feed/resources/..%2f..%2fx.rdp", "/static/" + "a/" * 4000),
    ],
)
def test_paths_that_lead_elsewhere(service: Service, path: str) -> None:
    reply = exchange(service, f"GET {path} HTTP/1.1\r\n{host(service)}\r\n\r\n".encode())
    assert reply.split(b" ")[1] in (b"400", b"404", b"302"), reply[:200]
    assert b"root:" not in reply
    assert b"import " not in reply


def test_those_are_on_record(world: PortalWorld, service: Service) -> None:
    exchange(service, f"GET /static/../x HTTP/1.1\r\n{host(service)}\r\n\r\n".encode())
    assert ("", "sign in/web") in {(who, what) for who, what, _ in refusals(world)}


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 0\r\nContent-Length: 4",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Content-Length : 4",
        "Content-Length: +4",
        "Content-Length: 4\r\n folded: x",
        "X: a\nContent-Length: 4",
        "Content-Length: 99999999999999999999",
    ],
)
def test_requests_that_two_servers_would_read_in_two_ways(service: Service, head: str) -> None:
    text = f"POST /sign-in HTTP/1.1\r\n{host(service)}\r\n{head}\r\n\r\n0\r\n\r\n"
    reply = exchange(service, f"{text}GET /smuggled HTTP/1.1\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 4"), reply[:200]
    assert reply.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("name", ["evil.example", "[", "evil.example@127.0.0.1", '"><script>', ""])
def test_another_host_name_leads_nowhere(service: Service, name: str) -> None:
    for path in ("/", "/api/v1/me", "/sign-in", "/RDWeb/Feed/webfeed.aspx", "/console"):
        reply = exchange(service, f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        assert int(reply.split(b" ")[1]) < 500, reply[:200]
        assert b"evil.example" not in reply
        assert b"<script>" not in reply


@pytest.mark.parametrize(
    "target",
    [
        *("https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "//["),
        *("/\t/evil.example", "\n//evil.example", "javascript:alert(1)", "http:evil.example"),
    ],
)
def test_nobody_is_led_elsewhere(service: Service, nobody: WebClient, target: str) -> None:
    shown = nobody.get("/sign-in", params={"next": target})
    assert shown.status_code == 200
    location = nobody.try_sign_in("cid", SECRET, target).headers["location"]
    assert urlsplit(location).netloc == ""
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_uploads_that_are_too_large(world: PortalWorld, nobody: WebClient, ann: Person) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert nobody.post("/sign-in", content=endless(), headers=kind).status_code == 413
    kind = {"content-type": "application/json"}
    assert ann.post("/api/v1/me/connections", content=endless(), headers=kind).status_code == 413
    whole = b"x" * ((1 << 20) + 1)
    assert ann.post("/api/v1/me/connections", content=whole, headers=kind).status_code == 413
    found = refusals(world)
    assert ("", "sign in/web") in {(who, what) for who, what, _ in found}
    assert ("ann", "web/TooLarge") in {(who, what) for who, what, _ in found}


# Who is not who he says


@pytest.fixture(scope="module")
def statuses(service: Service) -> list[int]:
    """Answers to many attempts to guess the password of "dot", in whatever case."""
    transport = httpx.HTTPTransport(
        verify=trust(service), local_address="127.0.0.2", trust_env=False
    )
    found = []
    with httpx.Client(transport=transport, base_url=service.ready["web"], timeout=60) as client:
        token = form_token(client)
        for number in range(ATTEMPTS):
            fields = {"name": "DOT" if number % 2 else "dot", "password": f"guess {number}"}
            reply = client.post("/sign-in", data={**fields, "form_token": token})
            found.append(reply.status_code)
            assert COOKIE not in reply.cookies
        client.post("/sign-in", data={"name": "dot", "password": SECRET, "form_token": token})
        assert client.get("/api/v1/me").status_code == 401
    return found


def test_attempts_to_guess_a_password(
    world: PortalWorld, service: Service, statuses: list[int]
) -> None:
    """Few are looked at, each is refused."""
    assert set(statuses) == {401, 429}
    assert statuses.count(401) < 20
    rows = service.read_rows("SELECT count(*) FROM audit_log WHERE address = '127.0.0.2'")
    assert 0 < rows[0][0] < 50
    with Person(world, "dot") as dot:  # from elsewhere he comes in
        assert dot.get("/api/v1/me").status_code == 200


def form_token(client: httpx.Client) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', client.get("/sign-in").text)
    assert found
    return found[1]


def test_a_wrong_name_is_no_other_than_a_wrong_password(nobody: WebClient) -> None:
    answers = set()
    for name in ("cid", "no such user"):
        reply = nobody.try_sign_in(name, "wrong")
        answers.add((reply.status_code, reply.text.replace(name, "")))
    assert len(answers) == 1


def test_the_cookie(world: PortalWorld, nobody: WebClient) -> None:
    """Nobody's own value is taken, and no script or other site gets at it."""
    nobody.cookies.set(COOKIE, "chosen-by-mallory" * 3)
    reply = nobody.try_sign_in("cid", SECRET)
    cookies = reply.headers.get_list("set-cookie")
    (cookie,) = [one for one in cookies if one.startswith(f"{COOKIE}=")]
    said = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= said
    assert not [part for part in said if part.startswith("domain")]
    assert "mallory" not in cookie
    with WebClient(world.service) as old:
        old.cookies.set(COOKIE, "chosen-by-mallory" * 3)
        assert old.get("/api/v1/me").status_code == 401


def test_other_sites(world: PortalWorld, ann: Person) -> None:
    """No request of theirs changes anything, and none of our replies is theirs to read."""
    wanted = {"collection": "office"}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://{urlsplit(world.service.ready['web']).netloc}"},
        {"x-csrf-token": "x"},
        {"x-csrf-token": ""},
    ):
        reply = ann.post("/api/v1/me/connections", json=wanted, headers=headers)
        assert reply.status_code == 403, describe(reply)
    allowed = ann.get("/api/v1/me", headers={"origin": "https://evil.example"})
    asked = ann.options(
        "/api/v1/me/connections",
        headers={
            "origin": "https://evil.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-csrf-token",
        },
    )
    assert asked.status_code in (401, 404, 405)
    for reply in (allowed, asked):
        assert not [name for name in reply.headers if name.startswith("access-control")]
    assert ("ann", "web/Forged") in {(who, what) for who, what, _ in refusals(world)}
    mine = {"name": "ann", "password": SECRET}
    with WebClient(world.service) as client:
        assert client.post("/sign-in", data=mine).status_code == 403
        client.headers["origin"] = "https://evil.example"
        assert client.try_sign_in("ann", SECRET).status_code == 403


def test_what_replies_say_to_browsers(ann: Person) -> None:
    for path in ("/", "/api/v1/me", "/sign-in", "/account", "/api/v1/nothing", "/api/v1/desktops"):
        reply = ann.get(path)
        assert reply.headers["cache-control"] == "no-store", path
        assert reply.headers["x-content-type-options"] == "nosniff"
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


# Who may not


def test_users_have_no_administration(
    world: PortalWorld, ann: Person, operations: list[tuple[str, str]]
) -> None:
    for method, path in operations:
        if not path.startswith("/api/v1/me"):
            reply = ann.request(method, path, json=None if method == "get" else {})
            wanted = {403, 404, 422} if path.endswith("/clipboard") else {403}
            assert reply.status_code in wanted, describe(reply)
    assert ("ann", "web/Refused") in {(who, what) for who, what, _ in refusals(world)}
    for page in ("", "/collections", "/desktops/office-1", "/users", "/audit", "/settings"):
        assert ann.get(f"/console{page}").status_code == 403


def test_tokens_do_what_their_scopes_say(
    world: PortalWorld, operations: list[tuple[str, str]]
) -> None:
    mine = ("/api/v1/me", "/api/v1/metrics")
    with WebClient(world.service) as program:
        program.headers["authorization"] = f"Bearer {make_token(world.service, USER, ['metrics'])}"
        for method, path in operations:
            if path not in mine:
                reply = program.request(method, path, json=None if method == "get" else {})
                assert reply.status_code in (403, 422), describe(reply)
                assert reply.status_code == 403 or "/me/" in path, describe(reply)
        program.headers["authorization"] = f"Bearer {make_token(world.service, USER, ['read'])}"
        for method, path in operations:
            if method != "get":
                reply = program.request(method, path, json={})
                wanted = (403, 422, 404) if path.endswith("/plan") else (403, 422)  # a plan is read
                assert reply.status_code in wanted, describe(reply)
    assert ("admin", "web/Refused") in {(who, what) for who, what, _ in refusals(world)}


def test_the_help_desk_is_told_of_its_own(world: PortalWorld) -> None:
    with Person(world, "hal") as hal:
        for path in ("users", "audit", "images", "settings", "events?kinds=image", "tasks"):
            assert hal.get(f"/api/v1/{path}").status_code == 403, path
        for page in ("users", "audit", "settings"):
            assert hal.get(f"/console/{page}").status_code == 403, page


def test_nothing_of_anothers(world: PortalWorld, ann: Person, bob: Person) -> None:
    desktop = until_ready(ann, "office")["desktop"]
    refused = {
        hers: bob.get(hers).status_code
        for hers in (
            f"/display/{desktop}",
            f"/api/v1/me/desktops/{desktop}/screenshot.png",
            f"/api/v1/desktops/{desktop}/clipboard",
            f"/api/v1/desktops/{desktop}/screenshot.png",
        )
    }
    path = f"/api/v1/desktops/{desktop}/clipboard"
    refused["paste"] = bob.put(path, json={"text": "rm -rf ~"}).status_code
    assert set(refused.values()) <= {403, 404}, refused
    for action in ("restart", "reset", "start"):
        bob.ask("POST", f"/desktops/{desktop}/{action}", 404)
    reply = bob.post(f"/api/v1/desktops/{desktop}/display", json={"mode": "control"})
    assert reply.status_code == 403
    token = ann.ask("POST", "/tokens", 201, {"name": "hers", "scopes": ["connect"]})["id"]
    bob.ask("DELETE", f"/tokens/{token}", 404)
    assert ann.ask("GET", "/tokens")["items"]
    who = {(who, what.rpartition("/")[2]) for who, what, _ in refusals(world)}
    assert ("bob", "Control") in who
    with Person(world, "dot") as dot:
        assert dot.get("/api/v1/me/connections/office.rdp").status_code == 403
    world.rdms.read("pool", "release", desktop, "--force")


def test_keys_of_another_account(world: PortalWorld, admin: Person) -> None:
    key = {"idempotency-key": "the same"}
    wanted = {"alias": "keys", "allowed": ["bob"]}
    assert admin.post("/api/v1/collections", json=wanted, headers=key).status_code == 201
    with Person(world, "olga") as olga:
        reply = olga.post("/api/v1/collections", json=wanted, headers=key)
        assert reply.status_code == 409
        assert "idempotency-replayed" not in reply.headers


@pytest.mark.parametrize(
    "cursor", ["x", "====", "W10", "WzFd", "W251bGxd", "WyJcdWQ4MDAiXQ", "%00", "a" * 1400, "'--"]
)
def test_cursors_that_no_list_has_given(
    admin: Person, operations: list[tuple[str, str]], cursor: str
) -> None:
    for method, path in operations:
        if method == "get" and path.count("/") == 3 and not path.endswith(("/events", "/me")):
            reply = admin.get(path, params={"cursor": cursor})
            assert reply.status_code in (200, 422), describe(reply)


# Displays and RDP


@pytest.fixture
def displays() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_ticket_that_is_old(world: PortalWorld, ann: Person) -> None:
    desktop = until_ready(ann, "office")["desktop"]
    ticket = get_ticket(ann, desktop)
    change(world, "UPDATE display_tickets SET expires = '2020-01-01 00:00:00.000000'")
    with pytest.raises(InvalidStatus) as refused, open_display(world.service, ann, ticket):
        pass
    assert refused.value.response.status_code == 403
    world.rdms.read("pool", "release", desktop, "--force")


def change(world: PortalWorld, statement: str) -> None:
    """As if time had passed."""
    file = world.service.state_dir / "records.sqlite"
    with closing(sqlite3.connect(file, timeout=30)) as records, records:
        records.execute(statement)


def test_nobody_sees_the_next_users_screen(
    world: PortalWorld, ann: Person, bob: Person, displays: ExitStack
) -> None:
    """Not even where desktops are handed on as they are."""
    world.rdms.read("collection", "set", "office", "--no-rollback")
    desktop = until_ready(ann, "office")["desktop"]
    display = displays.enter_context(open_display(world.service, ann, get_ticket(ann, desktop)))
    viewer = Viewer(display)
    spare_ticket = get_ticket(ann, desktop)
    settings = parse(decode(ann.get("/api/v1/me/connections/office.rdp").content))
    token = find(settings, "loadbalanceinfo")
    assert token
    relay = displays.enter_context(closing(rdp(world.service)))
    relay.sendall(request(token.value.encode()))
    assert read(relay, len(CONFIRMATION)) == CONFIRMATION
    relay.recv(1 << 16)
    world.log_on(desktop, "ann")
    query = "SELECT seen FROM desktop_uses WHERE name_key = ?"
    until("she is seen", lambda: world.service.read_rows(query, desktop) == [(1,)])
    world.log_off(desktop, "ann")
    assert until_ready(bob, "office")["desktop"] == desktop
    with pytest.raises(Ended):
        while True:
            viewer.look(whole=False)
    assert is_ended(relay)
    with pytest.raises(InvalidStatus), open_display(world.service, ann, spare_ticket):
        pass
    assert ann.post(f"/api/v1/desktops/{desktop}/display", json={}).status_code == 403
    world.rdms.read("pool", "release", desktop, "--force")


def test_a_role_that_changes_ends_what_is_open(
    world: PortalWorld, ann: Person, displays: ExitStack
) -> None:
    desktop = until_ready(ann, "office")["desktop"]
    hal = displays.enter_context(Person(world, "hal"))
    display: WebDisplay = displays.enter_context(
        open_display(world.service, hal, get_ticket(hal, desktop))
    )
    viewer = Viewer(display)
    stream = displays.enter_context(hal.stream("GET", "/api/v1/events", timeout=60))
    world.rdms.read("user", "set", "hal", "--role", "user")
    try:
        with pytest.raises(Ended):
            while True:
                viewer.look(whole=False)
        for _ in stream.iter_lines():
            pass  # until it ends
        assert hal.get("/api/v1/sessions").status_code == 403
    finally:
        world.rdms.read("user", "set", "hal", "--role", "helpdesk")
        world.rdms.read("pool", "release", desktop, "--force")


def test_a_disabled_account_has_nothing_more(world: PortalWorld) -> None:
    with Person(world, "cid") as cid, cid.stream("GET", "/api/v1/me/events", timeout=60) as stream:
        token = cid.ask("POST", "/tokens", 201, {"name": "t", "scopes": ["connect"]})["secret"]
        world.rdms.read("user", "set", "cid", "--disable")
        try:
            for _ in stream.iter_lines():
                pass
            assert cid.get("/api/v1/me").status_code == 401
            headers = {"authorization": f"Bearer {token}"}
            with WebClient(world.service) as program:
                assert program.get("/api/v1/me/resources", headers=headers).status_code == 401
        finally:
            world.rdms.read("user", "set", "cid", "--enable")


def rdp(service: Service, source: str = "127.0.0.1") -> socket.socket:
    name, _, port = service.ready["rdp"].partition(":")
    return socket.create_connection((name, int(port)), timeout=60, source_address=(source, 0))


def test_clients_of_rdp_that_say_nothing(service: Service) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(closing(rdp(service, "127.0.0.4"))) for _ in range(40)]
        for one in silent:
            assert is_ended(one)
        for octets in (b"\x03\x00\xff\xff", b"\x03\x00\x00\x00", bytes(600), b"\x16\x03\x01\x02"):
            with closing(rdp(service, "127.0.0.4")) as one:
                with suppress(OSError):
                    one.sendall(octets)
                assert is_ended(one)


# Names


class Scripts(HTMLParser):
    """Whatever a page would run that is no file of ours."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._is_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._is_script = tag == "script"
        for name, value in attributes:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"<{tag} {name}={value}>")
            if name == "src" and not (value or "").startswith(("/", "data:image/")):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        if self._is_script and data.strip():
            self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False


def test_names_are_words_and_no_markup(world: PortalWorld, admin: Person) -> None:
    made = {"alias": "evil", "name": EVIL[:64], "description": EVIL, "allowed": ["Everyone"]}
    reply = admin.post("/api/v1/collections", json=made)
    assert reply.status_code in (201, 422), reply.text
    with Person(world, "ann") as ann:
        until_ready(ann, "office")
        world.log_on("office-1", "ann")
        sent = ("session", "message", "--collection", "office", EVIL[:60], EVIL)
        until("it is shown", lambda: [row["Result"] for row in world.rdms.read(*sent)] == [0])
        for path in ("/", "/account", "/display/office-1"):
            look_through(ann.get(path))
        assert ann.get("/").text.count("alert(1)") > 0
        world.log_off("office-1", "ann")
    evil = quote(EVIL, safe="")
    pages = ("", "/collections", "/collections/new", "/desktops", "/sessions", "/jobs", "/hosts")
    rest = ("/images", "/audit", "/users", "/settings", "/collections/office", "/desktops/office-1")
    for page in (*pages, *rest, *(f"{one}/{evil}" for one in pages[1:])):
        for query in ("", f"?search={evil}&who={evil}&collection={evil}&cursor={evil}&host={evil}"):
            headers = {"accept": "text/html"}
            look_through(admin.get(f"/console{page}{query}", headers=headers))
    look_through(admin.get(f"/display/{evil}?mode=view"))
    with WebClient(world.service) as client:
        look_through(client.try_sign_in(EVIL, "x", EVIL))


def look_through(reply: httpx.Response) -> None:
    assert reply.status_code < 500, describe(reply)
    assert Scripts(reply.text).found == [], describe(reply)
    assert "<script>alert" not in reply.text
    assert "49" not in reply.text.partition("alert(2)")[2][:40], "a template was run"


# Second factors


def test_a_password_alone_when_there_is_a_second_factor(world: PortalWorld) -> None:
    with Person(world, "olga") as olga:
        secret = olga.ask("POST", "/totp/proposal")["secret"]
        device = pyotp.TOTP(secret)
        used = until("it is taken", lambda: enrol(olga, device))
        for _ in range(3):
            assert not is_let_in(world, "olga", used)
        with WebClient(world.service) as client:
            client.try_sign_in("olga", SECRET)
            step = client.cookies["__Host-openrdms-step"]
            for path in ("/api/v1/me", "/api/v1/users"):
                assert client.get(path).status_code == 401
            client.cookies.set(COOKIE, step)
            assert client.get("/api/v1/me").status_code == 401
            basic = client.get("/RDWeb/FeedLogin/WebFeedLogin.aspx", auth=("olga", SECRET))
            assert basic.status_code == 401
        unused = device.at(int(time.time()) + 30)
        olga.ask("POST", "/totp/removal", 204, {"code": unused})
    assert ("olga", "sign in/web") in {(who, what) for who, what, _ in refusals(world)}


def enrol(person: Person, device: pyotp.TOTP) -> str:
    """The code, once it is taken: on a slow machine one may be over before it comes."""
    code = device.now()
    reply = person.post("/api/v1/me/totp", json={"code": code})
    return code if reply.status_code == 200 else ""


def is_let_in(world: PortalWorld, name: str, code: str) -> bool:
    with WebClient(world.service) as client:
        client.try_sign_in(name, SECRET)
        client.send_form("/sign-in/code", {"code": code})
        return client.get("/api/v1/me").status_code == 200


# In the end


def test_the_log_is_lines_of_its_own(world: PortalWorld, nobody: WebClient) -> None:
    """Nobody writes lines into it, whatever he calls himself or asks for."""
    forged = 'x"}\n{"event": "forged by mallory"}\r\n\x1b[2J'
    nobody.try_sign_in(forged, "x")
    nobody.get(f"/{quote(forged)}", headers={"x-request-id": "a b", "user-agent": "x"})
    for line in lines(world.service):
        assert json.loads(line).get("event") != "forged by mallory"
        assert "\x1b" not in line


def lines(service: Service) -> list[str]:
    text = (service.state_dir / "service.log").read_text()
    return [line for line in text.splitlines() if line.startswith("{")]


def test_nothing_that_is_secret_is_logged_or_kept(world: PortalWorld, displays: ExitStack) -> None:
    service = world.service
    ann = displays.enter_context(Person(world, "ann"))
    desktop = until_ready(ann, "office")["desktop"]
    ticket = get_ticket(ann, desktop)
    Viewer(displays.enter_context(open_display(service, ann, ticket))).type("s3cr3t-typed")
    made = ann.ask("POST", "/tokens", 201, {"name": "t", "scopes": ["connect"]})
    headers = {"authorization": f"Bearer {made['secret']}"}
    ann.get("/api/v1/me", headers=headers)
    settings = parse(decode(ann.get("/api/v1/me/connections/office.rdp").content))
    routing = find(settings, "loadbalanceinfo")
    assert routing
    secrets = {SECRET, PASSWORD, ann.cookies[COOKIE], ticket, made["secret"]}
    secrets |= {routing.value.removeprefix("openrdms:"), "s3cr3t-typed"}
    logged = (service.state_dir / "service.log").read_text()
    kept = b"".join(one.read_bytes() for one in service.state_dir.glob("records.sqlite*"))
    for secret in secrets:
        assert secret not in logged
        assert secret.encode() not in kept
    assert ann.headers["x-csrf-token"] not in logged
    assert "Traceback" not in logged, logged[logged.index("Traceback") - 500 :][:3000]


def test_all_guesses_were_counted(world: PortalWorld, statuses: list[int]) -> None:
    """The log says how many came, once the minute is over that they came in."""

    def count() -> int:
        guesses = [one for one in read_audit(world) if one["address"] == "127.0.0.2"]
        return sum(int(one["parameters"].get("times", 1)) for one in guesses)

    until("all are on record", lambda: count() >= len(statuses), 150, 2)


def trust(service: Service) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=service.state_dir / "tls" / "certificate.pem")


def host(service: Service) -> str:
    return f"Host: {urlsplit(service.ready['web']).netloc}"


def exchange(service: Service, octets: bytes, seconds: float = 60) -> bytes:
    """What comes back for octets of any kind; the connection is ended after the first silence."""
    url = urlsplit(service.ready["web"])
    address = (url.hostname or "", url.port or 0)
    plain = socket.create_connection(address, timeout=60)
    received = b""
    with closing(trust(service).wrap_socket(plain, server_hostname=url.hostname)) as client:
        client.sendall(octets)
        deadline = time.monotonic() + seconds
        with suppress(OSError):
            while (more := client.recv(1 << 16)) and time.monotonic() < deadline:
                received += more
                client.settimeout(0.3)
    return received
