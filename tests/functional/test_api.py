"""Each resource of the API: what is right, what is wrong, and who may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from live.api import ApiClient, make_token
from live.service import Service, until
from live.wire import Wire

ROLES = ("operator", "helpdesk", "auditor", "user")
JOB = {
    "action": "create",
    "collection": "pool",
    "image": "image:tiny",
    "name_prefix": "vd-",
    "hosts": [{"count": 4}],
}


ServiceFactory = Callable[..., Service]


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    path = tmp_path_factory.mktemp("api")
    return running_service(
        path / "state", f"simulator://{path}/hosts?hosts=2&clone_ms=0&start_ms=0"
    )


@pytest.fixture(scope="module")
def tokens(service: Service) -> dict[str, str]:
    """One for each role, and one of the administrator for each scope."""
    tokens = {"administrator": make_token(service)}
    with ApiClient(service, tokens["administrator"]) as client:
        for role in ROLES:
            client.ask("POST", "/users", 201, json={"name": f"the-{role}", "role": role})
    for role in ROLES:
        tokens[role] = make_token(service, f"the-{role}")
    for scope in ("read", "connect", "metrics", "sessions"):
        tokens[scope] = make_token(service, scopes=[scope])
    return tokens


@pytest.fixture(scope="module")
def client(service: Service, tokens: dict[str, str]) -> Iterator[ApiClient]:
    """The administrator's, with a collection of four desktops."""
    with ApiClient(service, tokens["administrator"]) as client:
        client.ask("POST", "/collections", 201, json={"alias": "pool", "allowed": ["Everyone"]})
        guid = client.ask("POST", "/jobs", 202, json=JOB)["guid"]
        until("the job ends", lambda: client.ask("GET", f"/jobs/{guid}")["ended"])
        taken = "/desktops?use=taken"
        until("users are seen", lambda: len(client.ask("GET", taken)["items"]) == 4)
        yield client


# lists


LISTS = [
    *("/applications", "/assignments", "/audit", "/collections", "/desktops", "/hosts"),
    *("/images", "/jobs", "/session-collections", "/sessions", "/tasks", "/users"),
]


@pytest.mark.parametrize("path", LISTS)
def test_lists_come_by_pages(client: ApiClient, path: str) -> None:
    whole = client.ask("GET", path)["items"]
    page = client.ask("GET", path, params={"limit": 1})
    seen = page["items"]
    while page["next"]:
        page = client.ask("GET", path, params={"limit": 1, "cursor": page["next"]})
        seen += page["items"]
    assert len(seen) >= len(whole) if path == "/audit" else len(seen) == len(whole)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "zork"}, "cursor"),
    ],
)
def test_what_is_no_page(client: ApiClient, path: str, query: dict[str, Any], field: str) -> None:
    told = client.ask("GET", path, 422, params=query)
    assert told["fields"][0]["field"] == field


# what is not there


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/applications/pool/x", None),
        ("PATCH", "/applications/pool/x", {"name": "y"}),
        ("DELETE", "/applications/pool/x", None),
        ("GET", "/applications/pool/x/file-types", None),
        ("GET", "/applications/installed?collection=nothing", None),
        ("DELETE", "/assignments/pool/x", None),
        ("GET", "/collections/nothing", None),
        ("PATCH", "/collections/nothing", {"description": "x"}),
        ("DELETE", "/collections/nothing", None),
        ("GET", "/collections/nothing/pool", None),
        ("POST", "/collections/nothing/pool/reset", {}),
        ("GET", "/collections/nothing/entries", None),
        ("GET", "/collections/nothing/properties/x", None),
        ("PUT", "/collections/nothing/properties/x", {"value": 1}),
        ("GET", "/collections/pool/update", None),
        ("GET", "/session-collections/pool", None),
        ("PUT", "/collections/pool/desktops/nothing", None),
        ("DELETE", "/collections/pool/desktops/nothing", None),
        ("GET", "/desktops/nothing", None),
        ("POST", "/desktops/nothing/state", {"state": "running"}),
        ("POST", "/desktops/nothing/release", {}),
        ("PUT", "/desktops/nothing/user", {"user": "x"}),
        ("DELETE", "/desktops/nothing/user", None),
        ("GET", "/desktops/nothing/screenshot.png", None),
        ("GET", "/hosts/nothing", None),
        ("PATCH", "/hosts/nothing", {"concurrency": 1}),
        ("GET", "/images/nothing", None),
        ("DELETE", "/images/nothing", None),
        ("POST", "/images/comparisons", {"before": "tiny@1", "after": "tiny@7"}),
        ("GET", "/jobs/00000000-0000-0000-0000-000000000000", None),
        ("GET", "/jobs/00000000-0000-0000-0000-000000000000/desktops", None),
        ("POST", "/jobs/00000000-0000-0000-0000-000000000000/cancel", None),
        ("GET", "/settings/DatabaseConnectionString", None),
        ("DELETE", "/settings/nothing", None),
        ("GET", "/tasks/nothing", None),
        ("GET", "/users/nothing", None),
        ("PATCH", "/users/nothing", {"enabled": False}),
        ("DELETE", "/users/nothing", None),
        ("GET", "/users/nothing/tokens", None),
        ("DELETE", "/users/admin/tokens/nothing", None),
        ("GET", "/nothing", None),
    ],
)
def test_what_is_not_there(client: ApiClient, method: str, path: str, body: Any) -> None:
    told = client.ask(method, path, 404, json=body)
    assert told["status"] == 404
    assert told["detail"]


# what is wrong


COLLECTION = {"alias": "new"}
MESSAGE = {"sessions": [{"host": "h", "id": 1}], "text": "x"}
UPDATE = {"start": "2030-01-01T00:00:00Z", "force_log_off": "2030-01-01T01:00:00Z"}
PATCH = {"action": "patch", "collection": "pool", "image": "image:tiny"}
LOCAL_UPDATE = {**UPDATE, "start": "2030-01-01T00:00:00", "job": PATCH}
APPLICATION = {"collection": "nothing", "alias": "a", "name": "A", "path": "/a"}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/applications", {"collection": "pool", "alias": "a"}, "name"),
        ("POST", "/applications", APPLICATION, "collection"),
        ("POST", "/assignments", {"collection": "pool", "desktop": "d", "user": "u"}, "domain"),
        ("POST", "/collections", {}, "alias"),
        ("POST", "/collections", {**COLLECTION, "zork": 1}, "zork"),
        ("POST", "/collections", {"alias": 7}, "alias"),
        ("POST", "/collections", {"alias": "a*b"}, "alias"),
        ("POST", "/collections", {"alias": " a"}, "alias"),
        ("POST", "/collections", {**COLLECTION, "type": "huge"}, "type"),
        ("POST", "/collections", {**COLLECTION, "is_user_admin": True}, "is_user_admin"),
        ("POST", "/collections", {**COLLECTION, "security_descriptor": "x"}, "security_descriptor"),
        ("PATCH", "/collections/pool", {"name": None}, "name"),
        ("PATCH", "/collections/pool", {"vm_farm_settings": "<x>"}, "vm_farm_settings"),
        ("PUT", "/collections/pool/properties/MaxMonitors", {"value": 17}, "value"),
        ("PUT", "/collections/pool/properties/MaxMonitors", {"value": "x"}, "key"),
        ("POST", "/collections/pool/update", UPDATE, "job"),
        ("POST", "/collections/pool/update", LOCAL_UPDATE, "start"),
        ("POST", "/desktops/vd-1/state", {"state": "flying"}, "state"),
        ("POST", "/desktops/vd-1/release", {"force": "yes"}, "force"),
        ("GET", "/desktops?use=flying", None, "use"),
        ("PATCH", "/hosts/host1", {"concurrency": 101}, "concurrency"),
        ("PATCH", "/hosts/host1", {"idle_count": -1}, "idle_count"),
        ("POST", "/images/builds", {"name": "x", "variant": "huge"}, "variant"),
        ("POST", "/images/imports", {"name": "../x", "file": "/x"}, "name"),
        ("POST", "/images/imports", {"name": "x", "file": "/no/such/file"}, "file"),
        ("POST", "/jobs", {**JOB, "name_prefix": "a b"}, "name_prefix"),
        ("POST", "/jobs", {**JOB, "image": "/no/such/file"}, "image"),
        ("POST", "/jobs", {**JOB, "hosts": [{"count": -1}]}, "hosts.0.count"),
        ("POST", "/jobs", {**JOB, "waves": ["10%"]}, "waves"),
        ("POST", "/jobs", {**JOB, "action": "prep"}, "action"),
        ("POST", "/jobs", {**JOB, "domain": "a b"}, "domain"),
        ("POST", "/jobs", {**JOB, "unattend_xml": "\x00"}, "unattend_xml"),
        ("GET", "/jobs/zork", None, "guid"),
        ("POST", "/sessions/messages", {**MESSAGE, "text": ""}, "text"),
        ("POST", "/sessions/messages", {"text": "x", "sessions": []}, "sessions"),
        ("POST", "/sessions/log-off", {"sessions": [{"host": "h", "id": "1"}]}, "sessions.0.id"),
        ("PUT", "/settings/DeploymentGatewayUsage", {"value": 9}, "value"),
        ("POST", "/users", {"name": "a:b", "role": "user"}, "name"),
        ("POST", "/users", {"name": "x", "role": "king"}, "role"),
        ("POST", "/users", {"name": "x", "role": "user", "password": "short"}, "password"),
        ("PATCH", "/users/the-user", {"remove_groups": ["none"]}, "remove_groups"),
        ("GET", "/audit?since=2026-01-01T00:00:00", None, "since"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_its_field(
    client: ApiClient, method: str, path: str, body: Any, field: str
) -> None:
    told = client.ask(method, path, 422, json=body)
    assert [one["field"] for one in told["fields"]] == [field], told


# who may what


READS = {
    "/collections": {"operator", "auditor"},
    "/desktops": {"operator", "auditor"},
    "/jobs": {"operator", "auditor"},
    "/hosts": {"operator", "auditor"},
    "/images": {"operator", "auditor"},
    "/applications": {"operator", "auditor"},
    "/settings": set(),
    "/session-collections": {"operator", "auditor"},
    "/sessions": {"operator", "auditor", "helpdesk"},
    "/users": {"auditor"},
    "/audit": {"auditor"},
    "/metrics": {"operator", "auditor"},
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", READS)
def test_who_may_read(service: Service, tokens: dict[str, str], path: str, role: str) -> None:
    with ApiClient(service, tokens[role]) as asking:
        asking.ask("GET", path, 200 if role in READS[path] else 403)


CHANGES = [
    ("POST", "/collections", {"alias": "mine"}, False),
    ("POST", "/users", {"name": "eve", "role": "administrator"}, True),
    ("PATCH", "/hosts/host1", {"concurrency": 1}, True),
    ("PUT", "/settings/zork", {"value": 1}, True),
    ("POST", "/jobs", JOB, False),
    ("DELETE", "/collections/pool", None, False),
]


@pytest.mark.parametrize(
    ("role", "method", "path", "body"),
    [
        (role, method, path, body)
        for method, path, body, operator_too in CHANGES
        for role in ROLES
        if role != "operator" or operator_too
    ],
)
def test_who_may_not_change(
    service: Service,
    client: ApiClient,
    tokens: dict[str, str],
    role: str,
    method: str,
    path: str,
    body: Any,
) -> None:
    with ApiClient(service, tokens[role]) as asking:
        told = asking.ask(method, path, 403, json=body)
    assert told["status"] == 403


def test_a_token_may_what_its_scopes_say(service: Service, tokens: dict[str, str]) -> None:
    wanted = {
        "read": {"/metrics": 200, "/desktops": 200},
        "metrics": {"/metrics": 200, "/desktops": 403},
        "connect": {"/metrics": 403, "/desktops": 403},
    }
    for scope, paths in wanted.items():
        with ApiClient(service, tokens[scope]) as asking:
            for path, status in paths.items():
                asking.ask("GET", path, status)
            asking.ask("POST", "/collections", 403, json={"alias": "x"})
            asking.ask(
                "POST", "/sessions/log-off", 403, json={"sessions": [{"host": "h", "id": 1}]}
            )


def test_refusals_are_on_record(
    service: Service, client: ApiClient, tokens: dict[str, str]
) -> None:
    with ApiClient(service, tokens["helpdesk"]) as asking:
        asking.ask("DELETE", "/images/x", 403)
    calls = client.ask(
        "GET", "/audit", params={"who": "the-helpdesk", "class_name": "OpenRDMS_Image"}
    )
    assert calls["items"][0]["result"] == "denied"
    assert calls["items"][0]["what"] == "api/v1/OpenRDMS_Image/Delete"


# what is right


def test_a_desktop_from_list_to_screen(client: ApiClient) -> None:
    found = client.ask("GET", "/desktops", params={"search": "VD-2", "collection": "pool"})["items"]
    assert [one["name"] for one in found] == ["vd-2"]
    assert client.ask("GET", "/desktops/count")["count"] == 4
    assert client.ask("GET", "/desktops/VD-2")["memory_mib"] == 256
    picture = client.get("desktops/vd-2/screenshot.png")
    assert picture.content.startswith(b"\x89PNG")
    for state in ("paused", "running", "saved", "running", "stopped"):
        told = client.ask("POST", "/desktops/vd-2/state", json={"state": state})
        assert told["state"] == state
    client.ask("PUT", "/desktops/vd-2/user", 409, json={"user": "alice"})


def test_many_sessions_at_once(client: ApiClient) -> None:
    found = client.ask("GET", "/sessions", params={"search": "vd-"})["items"]
    chosen = [{"host": one["host"], "id": one["id"]} for one in found]
    assert chosen
    gone = {"host": chosen[0]["host"], "id": 4711}
    body = {"sessions": [*chosen, gone], "title": "Hello", "text": "there"}
    results = client.ask("POST", "/sessions/messages", json=body)["results"]
    assert [one["error"] for one in results] == [0] * len(chosen) + [1168]
    results = client.ask("POST", "/sessions/disconnect", json={"sessions": chosen[:1]})["results"]
    assert results[0]["error"] == 0
    results = client.ask("POST", "/sessions/log-off", json={"sessions": chosen[-1:]})["results"]
    assert results[0]["error"] == 0
    left = client.ask("GET", "/sessions")["items"]
    assert chosen[-1] not in [{"host": one["host"], "id": one["id"]} for one in left]


def test_a_job_planned_made_and_seen(client: ApiClient) -> None:
    client.ask("POST", "/collections", 201, json={"alias": "small", "allowed": ["Everyone"]})
    job = {**JOB, "collection": "small", "name_prefix": "sm-", "hosts": [{"count": 2}]}
    plan = client.ask("POST", "/jobs/plan", json=job)
    assert [one["name"] for one in plan["desktops"]] == ["sm-1", "sm-2"]
    reply = client.post("jobs", json=job)
    where = reply.headers["location"].removeprefix("/api/v1")
    until("it ends", lambda: client.ask("GET", where)["ended"])
    told = client.ask("GET", where)
    assert (told["state"], told["percent"], told["succeeded"]) == ("completed", 100, 2)
    rows = client.ask("GET", f"{where}/desktops", params={"status": "complete"})["items"]
    assert [row["name"] for row in rows] == ["sm-1", "sm-2"]
    client.ask("POST", f"{where}/cancel", 409)
    found = client.ask("GET", "/jobs", params={"collection": "SMALL", "running": False})["items"]
    assert [one["guid"] for one in found] == [told["guid"]]
    for method, path in (("DELETE", ""), ("POST", "/removal/plan")):
        refused = client.ask(method, f"/collections/small{path}", 409)
        assert (refused["reason"], refused["detail"].count("has desktops")) == ("NotNow", 1)
    wrong = {**job, "action": "update", "hosts": [{"host": "host9", "count": 1}]}
    refused = client.ask("POST", "/jobs", 404, json=wrong)
    assert refused["reason"] == client.ask("POST", "/jobs/plan", json=wrong)["code"] == "NotAsAsked"
    update = {**UPDATE, "job": {**PATCH, "collection": "small"}}
    planned = client.ask("POST", "/collections/small/update/plan", json=update)
    assert [one["name"] for one in planned["desktops"]] == ["sm-1", "sm-2"]
    assert client.ask("POST", "/collections/small/update", 202, json=update)["state"] == "submitted"
    busy = client.ask("POST", "/collections/small/update/plan", json=update)
    assert (busy["code"], busy["desktops"]) == ("NotNow", [])
    assert client.ask("GET", "/collections/small")["state"] == "update-scheduled"
    client.ask("DELETE", "/collections/small/update", 204)


def test_a_collection_changed(client: ApiClient) -> None:
    told = client.ask(
        "PATCH", "/collections/pool", json={"name": "The pool", "allowed": ["the-user"]}
    )
    assert told["name"] == "The pool"
    entries = client.ask("GET", "/collections/pool/entries")["items"]
    assert [one["name"] for one in entries] == ["the-user"]
    client.ask("PUT", "/collections/pool/properties/MaxMonitors", json={"value": 3})
    assert client.ask("GET", "/collections/pool/properties/maxmonitors")["value"] == 3
    assert client.ask("GET", "/collections/pool/pool")["waiting"] == 0


def test_an_application_and_its_files(client: ApiClient) -> None:
    new = {"collection": "pool", "alias": "edit", "name": "Editor", "path": "/usr/bin/edit"}
    client.ask("PATCH", "/collections/pool", json={"show_in_portal": False})
    assert client.ask("POST", "/applications", 201, json=new)["arguments"] == "none"
    told = client.ask("PATCH", "/applications/pool/edit", json={"arguments": "any"})
    assert told["arguments"] == "any"
    put = client.ask("PUT", "/applications/pool/edit/file-types/.txt", json={"is_published": True})
    assert put["extension"] == ".txt"
    client.ask("PUT", "/applications/pool/edit/file-types/.txt", json={"is_published": False})
    (kept,) = client.ask("GET", "/applications/pool/edit/file-types")["items"]
    assert not kept["is_published"]
    client.ask("DELETE", "/applications/pool/edit/file-types/.txt", 204)
    client.ask("DELETE", "/applications/pool/edit", 204)


def test_an_image_imported_and_removed(client: ApiClient, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    task = client.ask("POST", "/images/imports", 202, json={"name": "raw", "file": str(disk)})
    ended = until("it ends", lambda: _ended(client, task["id"]))
    assert (ended["state"], ended["result"]) == ("done", {"image": "raw@1"}), ended
    assert client.ask("GET", "/images/raw")["source"].endswith("disk.raw")
    (planned,) = client.ask("POST", "/images/raw@1/removal/plan")["items"]
    (removed,) = client.ask("DELETE", "/images/raw@1")["items"]
    assert removed == planned
    assert (removed["kept_for"], removed["freed_bytes"] > 0) == ("", True)
    refused = client.ask("DELETE", "/images/tiny", 409)
    assert client.ask("POST", "/images/tiny/removal/plan", 409) == refused


def _ended(client: ApiClient, task_id: str) -> Any:
    task = client.ask("GET", f"/tasks/{task_id}")
    return task if task["ended"] else None


def test_an_account_and_its_token(service: Service, client: ApiClient) -> None:
    new = {"name": "Carol", "role": "auditor", "groups": ["staff"], "password": "a long password"}
    reply = client.post("users", json=new)
    assert "password" not in reply.text.replace("a long password", "!")
    secret = make_token(service, "carol", ["read"])
    with ApiClient(service, secret) as carol:
        assert carol.ask("GET", "/me")["name"] == "Carol"
        carol.ask("POST", "/users/carol/tokens", 403, json={"name": "x", "scopes": ["write"]})
        (token,) = client.ask("GET", "/users/carol/tokens")["items"]
        client.ask("DELETE", f"/users/carol/tokens/{token['id']}", 204)
        carol.ask("GET", "/me", 401)
    client.ask("PATCH", "/users/carol", json={"enabled": False, "add_groups": ["old"]})
    assert client.ask("GET", "/users", params={"search": "OLD"})["items"][0]["name"] == "Carol"
    client.ask("DELETE", "/users/carol", 204)
    client.ask("DELETE", "/users/admin", 409)


def test_no_token_makes_tokens(client: ApiClient) -> None:
    told = client.ask("POST", "/users/admin/tokens", 403, json={"name": "x", "scopes": ["read"]})
    assert "token" in told["detail"]


def test_settings(client: ApiClient) -> None:
    client.ask("PUT", "/settings/DeploymentGatewayName", json={"value": "gw.example.org"})
    found = {one["key"]: one["value"] for one in client.ask("GET", "/settings")["items"]}
    assert found["DeploymentGatewayName"] == "gw.example.org"
    assert "DatabaseConnectionString" not in found
    client.ask("PUT", "/settings/DatabaseConnectionString", 404, json={"value": "x"})
    client.ask("DELETE", "/settings/DeploymentGatewayName", 204)
    assert client.ask("GET", "/settings/DeploymentGatewayName")["value"] is None


def test_hosts_figures_and_the_log(client: ApiClient) -> None:
    name = client.ask("GET", "/hosts")["items"][0]["name"]
    told = client.ask("PATCH", f"/hosts/{name}", json={"concurrency": 5, "idle_count": 2})
    assert told["settings"] == {"concurrency": 5, "idle_count": 2, "drain": False}
    told = client.ask("PATCH", f"/hosts/{name}", json={"concurrency": None})
    assert told["settings"] == {"concurrency": None, "idle_count": 2, "drain": False}
    figures = client.ask("GET", "/metrics")
    assert figures["hosts"] == {"total": 2, "away": 0}
    assert sum(figures["by_host"].values()) == sum(figures["desktops"].values())
    assert client.ask("GET", "/audit/chain")["problems"] == []
    assert client.ask("GET", "/audit/orphans")["unreachable"] == []


def test_a_method_that_is_not_there(client: ApiClient) -> None:
    reply = client.put("collections", json={})
    assert reply.status_code == 405
    assert reply.headers["allow"] == "GET, POST"


def test_session_collections(service: Service, client: ApiClient) -> None:
    wire = Wire(service.client())
    farm, keys = "Win32_RDSHCollection", {"Alias": "Farm"}
    wire.create(farm, {**keys, "Name": "The farm", "Type": "0", "Description": "Sessions"})
    server = {"Name": "rdsh1.example.org", "CollectionAlias": "Farm"}
    wire.create("Win32_RDSHServer", server)
    wire.create("Win32_RDSHServer", {"Name": "rdsh2.example.org"})
    assert not wire.invoke(farm, "SetInt32Property", keys, Key="MaxMonitors", Value="4").reason
    application = {"collection": "Farm", "alias": "calc", "name": "Calc", "path": "C:\\calc.exe"}
    client.ask("POST", "/applications", 201, json=application)
    mine = {
        "alias": "Farm",
        "name": "The farm",
        "type": "pooled",
        "description": "Sessions",
        "servers": 1,
    }
    assert client.ask("GET", "/session-collections?search=FARM")["items"] == [mine]
    assert client.ask("GET", "/session-collections?search=zork")["items"] == []
    found = client.ask("GET", "/session-collections/farm")
    assert {name: found[name] for name in mine} == mine
    ((one, state),) = [(host["name"], host["state"]) for host in found["session_hosts"]]
    assert (one, state) == ("rdsh1.example.org", "unknown")
    assert found["settings"] == [{"key": "MaxMonitors", "value": 4}]
    assert [one["alias"] for one in found["applications"]] == ["calc"]
    client.ask("DELETE", "/session-collections/farm", 405)


def test_calls_are_found_by_what_they_name(client: ApiClient) -> None:
    client.ask("DELETE", "/collections/pool/desktops/vd-lost", 404)
    (call,) = client.ask("GET", "/audit", params={"about": "VD-Lost"})["items"]
    assert (call["what"].rpartition("/")[2], call["on"]) == (
        "RemoveVirtualDesktop",
        {"Alias": "pool"},
    )
    page = client.ask("GET", "/audit", params={"about": "pool", "limit": 1})
    assert page["items"][0]["sequence"] == call["sequence"]
    assert client.ask("GET", "/audit", params={"about": "pool", "cursor": page["next"]})["items"]
