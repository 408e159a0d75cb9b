"""Passwords are not enough: devices that show codes, recovery codes, tokens over protocols."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from pypsrp.exceptions import AuthenticationError

from live.api import make_token
from live.browser import WebClient, csrf_of
from live.service import PASSWORD, USER, Service, rdms
from live.wire import Wire

SECRET = "a password of eight"
REMOVAL = "/api/v1/me/totp/removal"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path: Path = tmp_path_factory.mktemp("second")
    options = path / "sign-in.toml"
    options.write_text('second_factor = ["operator"]\n')
    running = Service(
        path / "state", f"simulator://{path}/hosts?hosts=1", options=("--sign-in", str(options))
    )
    try:
        running.start()
        yield running
    finally:
        running.clear()


@pytest.fixture
def client(service: Service) -> Iterator[WebClient]:
    with WebClient(service) as client:
        yield client


@pytest.fixture(scope="module")
def administrator(service: Service) -> Iterator[WebClient]:
    with WebClient(service) as client:
        client.sign_in(USER, PASSWORD)
        client.headers["x-csrf-token"] = csrf_of(client.get("/").text)
        yield client


def add(administrator: WebClient, name: str, role: str) -> str:
    account = {"name": name, "role": role, "password": SECRET}
    assert administrator.post("/api/v1/users", json=account).status_code == 201
    return name


def secret_of(page: str) -> pyotp.TOTP:
    found = re.search(r'<output class="mono">([A-Z2-7]{32})</output>', page)
    assert found, page
    return pyotp.TOTP(found[1])


def codes_of(page: str) -> list[str]:
    return re.findall(r"<li>([a-z0-9]{5}(?:-[a-z0-9]{5}){2})</li>", page)


def enrol(client: WebClient, name: str) -> tuple[pyotp.TOTP, list[str]]:
    """The first sign-in of somebody whose role needs a device."""
    assert client.try_sign_in(name, SECRET).headers["location"] == "/sign-in/code"
    shown = client.get("/sign-in/code")
    assert 'src="data:image/svg+xml' in shown.text
    device = secret_of(shown.text)
    reply = client.send_form("/sign-in/code", {"code": device.now()})
    assert reply.status_code == 200, reply.text
    return device, codes_of(reply.text)


def next_code(device: pyotp.TOTP) -> str:
    """That of the step to come, which nobody has used: clocks may be off by one."""
    return device.at(int(time.time()) + 30)


def test_a_role_that_needs_a_device(
    service: Service, client: WebClient, administrator: WebClient
) -> None:
    name = add(administrator, "olga", "operator")
    device, codes = enrol(client, name)
    assert len(codes) == len(set(codes)) == 10
    assert client.get("/api/v1/me").json()["name"] == name
    with WebClient(service) as other:
        assert other.try_sign_in(name, SECRET).headers["location"] == "/sign-in/code"
        assert other.get("/api/v1/me").status_code == 401  # a password is not enough
        assert other.send_form("/sign-in/code", {"code": "000000"}).status_code == 401
        code = next_code(device)
        assert other.send_form("/sign-in/code", {"code": code}).status_code == 303
        assert other.get("/api/v1/me").json()["name"] == name
    with WebClient(service) as third:
        third.try_sign_in(name, SECRET)
        assert third.send_form("/sign-in/code", {"code": code}).status_code == 401  # used
        assert third.send_form("/sign-in/code", {"code": codes[0].upper()}).status_code == 303
    with WebClient(service) as fourth:
        fourth.try_sign_in(name, SECRET)
        assert fourth.send_form("/sign-in/code", {"code": codes[0]}).status_code == 401


def test_of_two_browsers_one_sets_the_device_up(
    service: Service, client: WebClient, administrator: WebClient
) -> None:
    name = add(administrator, "otis", "operator")
    with WebClient(service) as other:
        assert other.try_sign_in(name, SECRET).headers["location"] == "/sign-in/code"
        device = secret_of(other.get("/sign-in/code").text)
        enrol(client, name)
        reply = other.send_form("/sign-in/code", {"code": device.now()})
        assert reply.status_code == 401
        assert "Set up" not in reply.text
        assert other.get("/api/v1/me").status_code == 401


def test_a_secret_is_nowhere_in_the_clear(
    service: Service, client: WebClient, administrator: WebClient
) -> None:
    device, codes = enrol(client, add(administrator, "otto", "operator"))
    kept = (service.state_dir / "records.sqlite").read_bytes()
    kept += (service.state_dir / "records.sqlite-wal").read_bytes()
    kept += service._log.read_bytes()
    assert device.secret.encode() not in kept
    assert not [code for code in codes if code.encode() in kept]
    assert (service.state_dir / "security" / "totp-key").stat().st_mode & 0o777 == 0o600


def test_guessed_codes_lock_however_often_the_password_is_given(
    service: Service, administrator: WebClient
) -> None:
    with WebClient(service) as first:
        enrol(first, add(administrator, "oscar", "operator"))
    found = []
    for _ in range(6):
        with WebClient(service) as guesser:
            guesser.try_sign_in("oscar", SECRET)
            found.append(guesser.send_form("/sign-in/code", {"code": "123456"}))
    assert 429 in [reply.status_code for reply in found]
    assert int(found[-1].headers["retry-after"]) >= 1
    assert "Try again in" in found[-1].text
    refused = administrator.get("/api/v1/audit?who=oscar").text
    assert "wrong code" in refused


def test_over_protocols_a_token_stands_for_the_password(
    service: Service, administrator: WebClient
) -> None:
    name = add(administrator, "oda", "operator")
    with pytest.raises(AuthenticationError):
        Wire(service.client(user=name, password=SECRET)).enumerate(
            "Win32_RDMSVirtualDesktopCollection"
        )
    weak = make_token(service, name, ["read"])
    with pytest.raises(AuthenticationError):
        Wire(service.client(user=name, password=weak)).enumerate(
            "Win32_RDMSVirtualDesktopCollection"
        )
    token = make_token(service, name, ["read", "write", "sessions"])
    Wire(service.client(user=name, password=token)).enumerate("Win32_RDMSVirtualDesktopCollection")
    with pytest.raises(AuthenticationError):
        Wire(service.client(user=USER, password=token)).enumerate(
            "Win32_RDMSVirtualDesktopCollection"
        )


def test_an_administrator_resets_a_device(
    service: Service, client: WebClient, administrator: WebClient
) -> None:
    with WebClient(service) as first:
        enrol(first, add(administrator, "olaf", "operator"))
    assert administrator.delete("/api/v1/users/olaf/totp").status_code == 204
    enrol(client, "olaf")


def test_who_owns_the_machine_resets_a_device(
    service: Service, client: WebClient, administrator: WebClient
) -> None:
    with WebClient(service) as first:
        enrol(first, add(administrator, "oona", "operator"))
    place = ("--state-dir", service.state_dir)
    assert rdms("user", "show", "oona", *place)["second_factor"] is True
    rdms("user", "reset-second-factor", "oona", *place)
    shown = rdms("user", "show", "oona", *place)
    assert (shown["second_factor"], shown["source"]) == (False, "")
    (call,) = [one for one in rdms("audit", "log", *place) if "reset" in one["what"]]
    assert (call["parameters"], call["result"]) == ({"name": "oona"}, "0")
    enrol(client, "oona")


def sign_in_and_enrol(client: WebClient, name: str) -> tuple[pyotp.TOTP, list[str]]:
    """Somebody who need not have a device, and wants one."""
    client.sign_in(name, SECRET)
    client.headers["x-csrf-token"] = csrf_of(client.get("/").text)
    device = secret_of(client.get("/account").text)
    assert client.post("/api/v1/me/totp", json={"code": "000000"}).status_code == 422
    made = client.post("/api/v1/me/totp", json={"code": device.now()})
    assert made.status_code == 200, made.text
    assert client.post("/api/v1/me/totp", json={"code": next_code(device)}).status_code == 422
    return device, made.json()["codes"]


def test_somebody_who_wants_a_device(
    service: Service, client: WebClient, administrator: WebClient
) -> None:
    name = add(administrator, "uma", "user")
    device, recovery = sign_in_and_enrol(client, name)
    assert len(recovery) == 10
    with WebClient(service) as other:
        assert other.try_sign_in(name, SECRET).headers["location"] == "/sign-in/code"
    shown = client.get("/account").text
    assert "You have a device" in shown
    proof = {"password": SECRET}
    assert client.post("/api/v1/me/proof", json=proof).status_code == 403
    more = {**proof, "code": next_code(device)}
    assert client.post("/api/v1/me/proof", json=more).status_code == 204
    assert client.delete("/api/v1/me/totp").status_code == 405
    assert client.post(REMOVAL, json={"code": more["code"]}).status_code == 403  # used
    assert client.post(REMOVAL, json={"code": recovery[0]}).status_code == 204
    with WebClient(service) as other:
        other.sign_in(name, SECRET)


def test_who_has_password_and_session_guesses_codes_in_vain(
    client: WebClient, administrator: WebClient
) -> None:
    _, recovery = sign_in_and_enrol(client, add(administrator, "ugo", "user"))
    found = [client.post(REMOVAL, json={"code": "123456"}) for _ in range(5)]
    assert {reply.status_code for reply in found} == {403, 429}
    assert client.post(REMOVAL, json={"code": recovery[0]}).status_code == 429
    assert "You have a device" in client.get("/account").text
    assert "wrong code" in administrator.get("/api/v1/audit?who=ugo").text


def test_a_form_of_another_browser_is_refused(client: WebClient) -> None:
    fields = {"name": USER, "password": PASSWORD, "next": "/"}
    assert client.post("/sign-in", data=fields).status_code == 403
    client.get("/sign-in")
    assert client.post("/sign-in", data={**fields, "form_token": "x"}).status_code == 403
    assert client.get("/api/v1/me").status_code == 401


def test_a_device_is_reset_without_a_service_too(
    service: Service, administrator: WebClient
) -> None:
    with WebClient(service) as client:
        enrol(client, add(administrator, "orin", "operator"))
    service.kill()
    place = ("--state-dir", service.state_dir)
    rdms("user", "reset-second-factor", "orin", *place)
    service.start()
    with WebClient(service) as after:  # it may have another port
        enrol(after, "orin")
