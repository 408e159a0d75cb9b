"""The web port: who may come in, and what every reply has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from live.browser import WebClient, csrf_of
from live.service import PASSWORD, USER, Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path: Path = tmp_path_factory.mktemp("web")
    running = Service(path / "state", f"simulator://{path}/hosts?hosts=2")
    try:
        running.start()
        yield running
    finally:
        running.clear()


@pytest.fixture
def client(service: Service) -> Iterator[WebClient]:
    with WebClient(service) as client:
        yield client


def test_nobody_is_led_to_the_sign_in_page(client: WebClient) -> None:
    reply = client.get("/", follow_redirects=True)
    assert reply.status_code == 200
    assert reply.url.path == "/sign-in"
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    assert "unsafe" not in reply.headers["content-security-policy"]


def test_the_description_of_the_api_needs_no_sign_in(client: WebClient) -> None:
    reply = client.get("/api/v1/openapi.json")
    assert reply.status_code == 200
    assert reply.json()["openapi"].startswith("3.1")


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/", "/api/v1/nothing", "/api/v1"])
def test_nobody_learns_anything_of_the_api(client: WebClient, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == 401


def test_sign_in_and_out(client: WebClient) -> None:
    client.sign_in(USER, PASSWORD)
    assert client.get("/api/v1/me").json()["name"] == USER
    page = client.get("/")
    assert page.status_code == 200
    cookie = client.cookies["__Host-openrdms"]
    reply = client.post("/sign-out", data={"csrf_token": csrf_of(page.text)})
    assert (reply.status_code, reply.headers["location"]) == (303, "/sign-in")
    client.cookies.set("__Host-openrdms", cookie)
    assert client.get("/api/v1/me").status_code == 401


def test_a_wrong_password(client: WebClient) -> None:
    reply = client.try_sign_in("mallory", "wrong")
    assert reply.status_code == 401
    assert "__Host-openrdms=" not in reply.headers["set-cookie"]


def test_a_change_needs_the_csrf_token(client: WebClient) -> None:
    client.sign_in(USER, PASSWORD)
    assert client.post("/sign-out").status_code == 403
    assert client.post("/sign-out", headers={"x-csrf-token": "wrong"}).status_code == 403
    assert client.get("/api/v1/me").status_code == 200


def test_another_site_may_not_post(client: WebClient) -> None:
    client.sign_in(USER, PASSWORD)
    token = csrf_of(client.get("/").text)
    headers = {"x-csrf-token": token, "origin": "https://evil.example"}
    assert client.post("/sign-out", headers=headers).status_code == 403


def test_nobody_is_led_elsewhere(client: WebClient) -> None:
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"):
        assert client.try_sign_in(USER, PASSWORD, target).headers["location"] == "/"
        client.cookies.clear()


def test_too_large(client: WebClient) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    reply = client.post("/sign-in", content=b"x" * (1 << 20) + b"x", headers=kind)
    assert reply.status_code == 413
