"""What users do with their desktops, over the REST API as the portal asks it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Self

import httpx
import pytest

from functional.portal_world import SECRET, PortalWorld, open_portal_world
from live.browser import WebClient, csrf_of
from live.service import PASSWORD, USER, until


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalWorld]:
    made = open_portal_world(tmp_path_factory.mktemp("own"))
    try:
        made.add_pool("Mine", "Staff", "--type", "auto-personal")
        yield made
    finally:
        made.service.clear()


class Person(WebClient):
    """Somebody at a browser."""

    def __init__(self, world: PortalWorld, name: str, password: str = SECRET) -> None:
        super().__init__(world.service)
        self._name, self._password = name, password

    def __enter__(self) -> Self:
        super().__enter__()
        self.sign_in(self._name, self._password)
        self.headers["x-csrf-token"] = csrf_of(self.get("/").text)
        return self

    def ask(self, method: str, path: str, status: int = 200, body: object = None) -> Any:
        reply = self.request(method, f"/api/v1/me{path}", json=body)
        assert reply.status_code == status, reply.text
        return reply.json() if reply.content else None

    def resources(self) -> dict[str, Any]:
        return {one["collection"]: one for one in self.ask("GET", "/resources")["items"]}

    def connect(self, collection: str) -> httpx.Response:
        return self.post("/api/v1/me/connections", json={"collection": collection})


@pytest.fixture
def ann(world: PortalWorld) -> Iterator[Person]:
    with Person(world, "ann") as person:
        yield person


@pytest.fixture
def bob(world: PortalWorld) -> Iterator[Person]:
    with Person(world, "bob") as person:
        yield person


def until_ready(person: Person, collection: str) -> Any:
    def try_it() -> Any:
        reply = person.connect(collection)
        assert reply.status_code in (200, 202), reply.text
        return reply.json() if reply.status_code == 200 else None

    return until("he is connected", try_it)


def test_users_see_what_they_may_use(world: PortalWorld, ann: Person, bob: Person) -> None:
    assert set(ann.resources()) == {"office", "mine"}
    assert set(bob.resources()) == {"office", "mine", "design"}
    with Person(world, "dot") as dot:
        assert dot.resources() == {}
    assert ann.connect("design").status_code == 403
    assert ann.connect("nothing").status_code == 404
    ann.ask("DELETE", "/connections/nothing", 204)
    refused = world.rdms.read("audit", "log", "--user", "ann")
    assert "design" in str(refused) and "nothing" in str(refused)


def test_a_place_in_line(world: PortalWorld, ann: Person, bob: Person) -> None:
    assert ann.resources()["office"]["stage"] == "ready"
    opened = ann.connect("office").json()
    assert (opened["desktop"], opened["how"]) == ("office-1", "spare")
    assert opened["display"]["page"] == "/display/office-1"
    assert opened["display"]["ticket"]
    assert opened["rdp"]["href"] == "/api/v1/me/connections/office.rdp"
    mine = ann.resources()["office"]
    assert (mine["stage"], mine["desktop"], mine["state"]) == ("own", "office-1", "running")
    assert mine["actions"] == ["reset"]
    world.log_on("office-1", "ann")

    assert bob.resources()["office"]["stage"] == "later"
    reply = bob.connect("office")
    assert (reply.status_code, reply.headers["retry-after"]) == (202, "10")
    assert (reply.json()["position"], reply.json()["reason"]) == (1, "NoDesktopLeft")
    waiting = bob.resources()["office"]
    assert (waiting["stage"], waiting["delay"]["position"]) == ("waiting", 1)
    assert bob.ask("DELETE", "/connections/office", 204) is None
    assert bob.resources()["office"]["stage"] == "later"

    bob.connect("office")
    world.log_off("office-1", "ann")
    until("it is his", lambda: bob.resources()["office"]["stage"] == "own")
    assert bob.connect("office").json()["desktop"] == "office-1"
    ann.ask("POST", "/desktops/office-1/reset", 404)
    assert ann.get("/api/v1/me/desktops/office-1/screenshot.png").status_code == 404
    bob.ask("POST", "/desktops/office-1/reset", 204)
    until("it is fresh", lambda: ann.resources()["office"]["stage"] == "ready")


def test_a_personal_desktop_is_switched_on_and_off(world: PortalWorld, ann: Person) -> None:
    assert ann.resources()["mine"]["stage"] == "ready"
    name = until_ready(ann, "mine")["desktop"]
    own = ann.resources()["mine"]
    assert (own["stage"], own["actions"]) == ("own", ["restart", "reset"])
    picture = ann.get(f"/api/v1/me/desktops/{name}/screenshot.png")
    assert picture.content.startswith(b"\x89PNG")
    for action in ("restart", "reset"):
        ann.ask("POST", f"/desktops/{name}/{action}", 204)
        assert until("it runs", lambda: ann.resources()["mine"]["state"] == "running")
    world.rdms.read("desktop", "stop", name)
    off = ann.resources()["mine"]
    assert (off["stage"], off["state"], off["actions"]) == ("own", "stopped", ["start"])
    ann.ask("POST", f"/desktops/{name}/start", 204)
    assert ann.resources()["mine"]["state"] == "running"
    ann.ask("POST", f"/desktops/{name}/explode", 404)


def test_applications_have_icons(world: PortalWorld, ann: Person) -> None:
    world.add_pool("Studio", "ann")
    picture = b"\x89PNG\r\n\x1a\n and the rest"
    world.publish("studio", "Draw", picture, "--folder", "Graphics")
    world.publish("studio", "Write", b"<svg onload='alert(1)'/>")
    found = {
        one["title"]: one
        for one in ann.ask("GET", "/resources")["items"]
        if one["collection"] == "studio"
    }
    assert {one["kind"] for one in found.values()} == {"application"}
    assert (found["Draw"]["folder"], found["Write"]["icon"]) == ("Graphics", None)
    reply = ann.get(found["Draw"]["icon"])
    assert (reply.content, reply.headers["content-type"]) == (picture, "image/png")
    assert ann.get("/api/v1/me/resources/studio/icon?application=Write").status_code == 404
    wanted = {"collection": "studio", "application": "nothing"}
    assert ann.post("/api/v1/me/connections", json=wanted).status_code == 404
    opened = ann.ask("POST", "/connections", 200, {**wanted, "application": "draw"})
    assert opened["rdp"]["href"].endswith("/studio.rdp?application=draw")


def test_messages_are_kept_for_who_got_them(world: PortalWorld, ann: Person, bob: Person) -> None:
    name = until_ready(ann, "mine")["desktop"]
    world.log_on(name, "ann")
    sent = ("session", "message", "--collection", "mine", "Tonight", "We restart at ten.")
    until("it is shown", lambda: [row["Result"] for row in world.rdms.read(*sent)] == [0])
    (message,) = ann.ask("GET", "/messages")["items"]
    assert (message["title"], message["text"]) == ("Tonight", "We restart at ten.")
    assert bob.ask("GET", "/messages")["items"] == []
    bob.ask("POST", f"/messages/{message['id']}/read", 404)
    ann.ask("POST", f"/messages/{message['id']}/read", 204)
    assert ann.ask("GET", "/messages")["items"][0]["read"]
    world.log_off(name, "ann")


def test_events_tell_only_whom_they_concern(world: PortalWorld, ann: Person, bob: Person) -> None:
    seen = []
    with ann.stream("GET", "/api/v1/me/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        until_ready(bob, "design")
        until_ready(ann, "mine")
        for line in lines:
            seen.append(line)
            if '"ann"' in line:
                break
    assert not [line for line in seen if "bob" in line or "design" in line]


def test_only_who_has_just_given_his_password_makes_tokens(world: PortalWorld) -> None:
    with Person(world, "cid") as cid:
        wanted = {"name": "script", "scopes": ["connect"]}
        made = cid.ask("POST", "/tokens", 201, wanted)
        cid.ask("POST", "/tokens", 422, {**wanted, "scopes": ["connect", "read"]})
        assert [one["id"] for one in cid.ask("GET", "/tokens")["items"]] == [made["id"]]
        with WebClient(world.service) as program:
            program.headers["authorization"] = f"Bearer {made['secret']}"
            assert program.get("/api/v1/me/resources").status_code == 200
            for path in ("/me/tokens", "/desktops"):
                assert program.get(f"/api/v1{path}").status_code == 403
        _grow_old(world)
        stale = cid.ask("GET", "/tokens", 403)
        assert stale["reason"] == "Stale"
        cid.ask("PUT", "/password", 403, {"password": "another long password"})
        cid.ask("POST", "/proof", 403, {"password": "wrong"})
        cid.ask("POST", "/proof", 204, {"password": SECRET})
        cid.ask("DELETE", f"/tokens/{made['id']}", 204)
        assert cid.ask("GET", "/tokens")["items"] == []
        cid.ask("PUT", "/password", 422, {"password": "short"})
        with Person(world, "cid") as elsewhere:
            cid.ask("PUT", "/password", 204, {"password": "another long password"})
            assert elsewhere.get("/api/v1/me").status_code == 401
        assert cid.get("/api/v1/me").status_code == 200


def test_a_token_for_reading_opens_nothing(world: PortalWorld) -> None:
    with Person(world, USER, PASSWORD) as admin:
        made = admin.ask("POST", "/tokens", 201, {"name": "reader", "scopes": ["read"]})
    with WebClient(world.service) as program:
        program.headers["authorization"] = f"Bearer {made['secret']}"
        for path in ("resources", "messages", "events"):
            assert program.get(f"/api/v1/me/{path}").status_code == 403
        assert program.get("/").status_code == 403
        wanted = {"collection": "office"}
        assert program.post("/api/v1/me/connections", json=wanted).status_code == 403


def _grow_old(world: PortalWorld) -> None:
    """As if all had signed in years ago and been busy ever since."""
    file = world.service.state_dir / "records.sqlite"
    with closing(sqlite3.connect(file, timeout=30)) as records, records:
        records.execute("UPDATE web_sessions SET proved = '2020-01-01 00:00:00.000000'")
