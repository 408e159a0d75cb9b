"""Signing in at an OpenID provider: a real one, and answers that it did not give like that."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from live.browser import WebClient
from live.oidc import CLIENT, SECRET, OidcServer
from live.service import PASSWORD, USER, Service, rdms
from openrdms.adapters.oidc.provider import OidcProvider
from openrdms.model.errors import AccessDenied
from openrdms.model.sign_in_options import OidcOptions, parse_options

OPTIONS = """
[oidc]
source = "hub"
title = "The Hub"
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "{secret_file}"
scopes = ["openid", "profile", "groups"]
groups = ["vdi"]
[oidc.roles]
operator = ["operators"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcServer]:
    server = OidcServer()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("oidc")
    return place


@pytest.fixture(scope="module")
def service(provider: OidcServer, place: Path) -> Iterator[Service]:
    (place / "secret").write_text(SECRET + "\n")
    (place / "sign-in.toml").write_text(
        OPTIONS.format(issuer=provider.issuer, client=CLIENT, secret_file=place / "secret")
    )
    options = ("--sign-in", str(place / "sign-in.toml"))
    running = Service(place / "state", f"simulator://{place}/hosts?hosts=1", options=options)
    try:
        running.start()
        back = f"{running.ready['web'].rstrip('/')}/sign-in/provider/back"
        provider.start(back, place / "provider.log")
        yield running
    finally:
        running.clear()


@pytest.fixture
def client(service: Service, provider: OidcServer) -> Iterator[WebClient]:
    provider.spoil("")
    with WebClient(service) as client:
        yield client


def come_back(client: WebClient, provider: OidcServer, name: str, following: str = "/") -> str:
    """Where the provider leads somebody back to."""
    reply = client.get("/sign-in/provider", params={"next": following})
    assert reply.status_code == 303, reply.text
    assert reply.headers["location"].startswith(provider.issuer)
    return provider.sign_in(reply.headers["location"], name)


def test_somebody_comes_back_to_where_he_wanted_to_go(
    client: WebClient, provider: OidcServer
) -> None:
    assert "Sign in with The Hub" in client.get("/sign-in").text
    reply = client.get(come_back(client, provider, "ann", "/account"))
    assert (reply.status_code, reply.headers["location"]) == (303, "/account")
    assert client.get("/api/v1/me").json()["role"] == "user"


def test_groups_decide_roles_and_are_kept_when_asked_for(
    service: Service, client: WebClient, provider: OidcServer
) -> None:
    client.get(come_back(client, provider, "olga"))
    client.get(come_back(client, provider, "ann"))
    with WebClient(service) as administrator:
        administrator.sign_in(USER, PASSWORD)
        ann, olga = (administrator.get(f"/api/v1/users/{name}").json() for name in ("ann", "olga"))
    assert (ann["source"], ann["directory_groups"]) == ("hub", ["hub\\vdi"])
    assert (olga["role"], olga["directory_groups"]) == ("operator", ["hub\\operators"])


def test_who_is_disabled_here_is_out_whatever_the_provider_says(
    service: Service, client: WebClient, provider: OidcServer
) -> None:
    client.get(come_back(client, provider, "ann"))
    place = ("--state-dir", service.state_dir)
    rdms("user", "set", "ann", "--disable", *place)
    assert client.get("/api/v1/me").status_code == 401
    assert client.get(come_back(client, provider, "ann")).status_code == 401
    assert client.get("/api/v1/me").status_code == 401
    rdms("user", "set", "ann", "--enable", *place)
    assert client.get(come_back(client, provider, "ann")).status_code == 303


def test_an_answer_is_good_once_and_for_one_browser(
    service: Service, client: WebClient, provider: OidcServer
) -> None:
    back = come_back(client, provider, "ann")
    with WebClient(service) as other:
        assert other.get(back).status_code == 401
    held = dict(client.cookies)
    assert client.get(back).status_code == 303
    with WebClient(service) as other:
        other.cookies.update({"__Host-openrdms-step": held["__Host-openrdms-step"]})
        assert other.get(back).status_code == 401
        assert other.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("change", [{"state": "x"}, {"iss": "http://127.0.0.1:1"}, {"code": "x"}])
def test_an_answer_that_was_changed(
    client: WebClient, provider: OidcServer, change: dict[str, str]
) -> None:
    parts = urlsplit(come_back(client, provider, "ann"))
    query = urlencode({**dict(parse_qsl(parts.query)), **change})
    reply = client.get(parts._replace(query=query).geturl())
    assert reply.status_code == 401
    assert client.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("what", ["signature", "payload", "unsigned"])
def test_a_token_that_was_tampered_with(client: WebClient, provider: OidcServer, what: str) -> None:
    provider.spoil(what)
    assert client.get(come_back(client, provider, "ann")).status_code == 401
    assert client.get("/api/v1/me").status_code == 401


def test_a_name_of_ours_is_never_theirs(
    service: Service, client: WebClient, provider: OidcServer
) -> None:
    assert client.get(come_back(client, provider, USER)).status_code == 401
    assert client.get("/api/v1/me").status_code == 401
    with WebClient(service) as administrator:
        administrator.sign_in(USER, PASSWORD)
        records = administrator.get("/api/v1/audit?limit=1000").text
    assert "belongs to another account" in records


@pytest.fixture
def options(service: Service, place: Path) -> OidcOptions:
    options = parse_options(tomllib.loads((place / "sign-in.toml").read_text())).oidc
    assert options
    return options


def test_what_the_token_must_fit_to(
    service: Service, provider: OidcServer, options: OidcOptions
) -> None:
    provider.spoil("")
    adapter = OidcProvider(options)
    back = f"{service.ready['web'].rstrip('/')}/sign-in/provider/back"
    flow = adapter.begin(back)
    answer = dict(parse_qsl(urlsplit(provider.sign_in(flow.url, "ann")).query))
    with pytest.raises(AccessDenied):
        adapter.finish(replace(flow, nonce="another"), answer)
    flow = adapter.begin(back)
    answer = dict(parse_qsl(urlsplit(provider.sign_in(flow.url, "ann")).query))
    with pytest.raises(AccessDenied):
        adapter.finish(replace(flow, verifier="another" * 9), answer)
    flow = adapter.begin(back)
    answer = dict(parse_qsl(urlsplit(provider.sign_in(flow.url, "ann")).query))
    found = adapter.finish(flow, answer)
    assert (found.name, found.external_id) == ("ann", f"{provider.issuer} ann")


def test_a_provider_that_is_gone(
    service: Service, client: WebClient, provider: OidcServer, place: Path
) -> None:
    back = come_back(client, provider, "ann")
    provider.stop()
    try:
        reply = client.get(back)
        assert reply.status_code == 503
        assert "does not answer" in reply.text
        with WebClient(service) as administrator:  # who has an account of ours is let in
            administrator.sign_in(USER, PASSWORD)
    finally:
        redirect = f"{service.ready['web'].rstrip('/')}/sign-in/provider/back"
        provider.start(redirect, place / "provider.log")
