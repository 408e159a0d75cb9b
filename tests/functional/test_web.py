"""The web port: who may come in, and what every reply has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from live.browser import WebClient, csrf_of
from live.service import PASSWORD, USER, Service, rdms

ServiceFactory = Callable[..., Service]


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    path = tmp_path_factory.mktemp("web")
    return running_service(path / "state", f"simulator://{path}/hosts?hosts=2")


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


SECRET = "a password of eight"


def add_user(client: WebClient, name: str) -> None:
    """By the administrator, who is signed in with that client afterwards."""
    client.sign_in(USER, PASSWORD)
    client.headers["x-csrf-token"] = csrf_of(client.get("/").text)
    account = {"name": name, "role": "user", "password": SECRET}
    assert client.post("/api/v1/users", json=account).status_code == 201


def is_in(client: WebClient) -> bool:
    return client.get("/api/v1/me").status_code == 200


ComeIn = Callable[[str], tuple[WebClient, WebClient]]


@pytest.fixture
def come_in(service: Service) -> Iterator[ComeIn]:
    """With a browser and with a token that is made there."""
    with ExitStack() as clients:

        def come_in(name: str) -> tuple[WebClient, WebClient]:
            browser, program = [clients.enter_context(WebClient(service)) for _ in range(2)]
            browser.sign_in(name, SECRET)
            browser.headers["x-csrf-token"] = csrf_of(browser.get("/").text)
            wanted = {"name": "program", "scopes": ["connect"]}
            made = browser.post("/api/v1/me/tokens", json=wanted)
            program.headers["authorization"] = f"Bearer {made.json()['secret']}"
            assert (is_in(browser), is_in(program)) == (True, True)
            return browser, program

        yield come_in


def test_who_changes_his_password_stays_in_where_he_did(client: WebClient, come_in: ComeIn) -> None:
    add_user(client, "una")
    browser, program = come_in("una")
    other, _ = come_in("una")
    before = browser.cookies["__Host-openrdms"]
    reply = browser.put("/api/v1/me/password", json={"password": "another password"})
    assert reply.status_code == 204
    assert browser.cookies["__Host-openrdms"] != before
    assert (is_in(browser), is_in(other), is_in(program)) == (True, False, True)
    assert browser.put("/api/v1/me/password", json={"password": SECRET}).status_code == 403
    browser.headers["x-csrf-token"] = csrf_of(browser.get("/").text)  # another session's
    assert browser.put("/api/v1/me/password", json={"password": SECRET}).status_code == 204


@pytest.mark.parametrize("way", ["console", "command"])
def test_who_was_given_another_password_is_out_everywhere(
    service: Service, client: WebClient, come_in: ComeIn, way: str, tmp_path: Path
) -> None:
    name = f"ulf-{way}"
    add_user(client, name)
    browser, program = come_in(name)
    change = {"role": "user", "add_groups": ["staff"]}
    assert client.patch(f"/api/v1/users/{name}", json=change).status_code == 200
    assert (is_in(browser), is_in(program)) == (True, True)
    if way == "console":
        client.patch(f"/api/v1/users/{name}", json={"password": SECRET})
    else:
        (tmp_path / "password").write_text(SECRET)
        file = ("--password-file", tmp_path / "password")
        rdms("user", "set", name, *file, "--state-dir", service.state_dir)
    assert (is_in(browser), is_in(program)) == (False, False)
    come_in(name)


def test_too_large(client: WebClient) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    reply = client.post("/sign-in", content=b"x" * (1 << 20) + b"x", headers=kind)
    assert reply.status_code == 413
