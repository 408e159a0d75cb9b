"""Signing in to a running service: accounts made by the command, NTLM, Kerberos, audit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pypsrp.exceptions import AuthenticationError
from pypsrp.wsman import WSMan

from fakes.wsman_client import enumerate_body
from live.kdc import REALM, Kdc
from live.service import Service, rdms

PASSWORD = "another horse, another battery"
SPEED = "hosts=1&clone_ms=50&start_ms=1&boot_ms=50&agent_ms=1"
COLLECTIONS = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/rdms/Win32_RDMSVirtualDesktopCollection"


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    kdc = Kdc(tmp_path_factory.mktemp("kdc") / "realm")
    yield kdc
    kdc.stop()


@pytest.fixture(scope="module")
def service(
    running_service: Callable[..., Service], kdc: Kdc, tmp_path_factory: pytest.TempPathFactory
) -> Service:
    place = tmp_path_factory.mktemp("sign-in")
    service = running_service(
        place / "state",
        f"simulator://{place}/cluster?{SPEED}",
        options=["--keytab", str(kdc.keytab), "--channel-binding", "strict"],
    )
    (place / "password").write_text(PASSWORD)
    run("user", "add", "carol", "--role", "auditor", password=place / "password", service=service)
    run("user", "set", "carol", "--ntlm", password=place / "password", service=service)
    run("user", "add", f"alice@{REALM}", "--role", "auditor", "--no-password", service=service)
    return service


@pytest.fixture(scope="module")
def ticket(kdc: Kdc) -> str:
    return kdc.sign_in("alice")


def run(*arguments: str, service: Service, password: Path | None = None) -> Any:
    options = ["--password-file", str(password)] if password else []
    return rdms(*arguments, *options, "--state-dir", service.state_dir)


def enumerate_with(client: WSMan) -> None:
    client.enumerate(COLLECTIONS, enumerate_body(max_elements=10))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_ntlm(service: Service, scheme: str, auth: str) -> None:
    enumerate_with(service.client(scheme, "carol", PASSWORD, auth=auth, encryption="auto"))


def test_ntlm_is_for_those_who_were_allowed_it(service: Service) -> None:
    client = service.client("http", auth="ntlm", encryption="auto")
    with pytest.raises(AuthenticationError):
        enumerate_with(client)
    # What the account is allowed does not matter to Basic.
    enumerate_with(service.client())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_kerberos(
    service: Service, kdc: Kdc, ticket: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", ticket)
    options = {"negotiate_hostname_override": "localhost", "negotiate_service": "WSMAN"}
    client = service.client(*(scheme, "", ""), auth="kerberos", encryption="auto", **options)
    enumerate_with(client)


def test_refusals_are_in_the_audit_log(service: Service) -> None:
    client = service.client("https", "eve", "not a password")
    with pytest.raises(AuthenticationError):
        enumerate_with(client)
    refused = [call for call in run("audit", "log", service=service) if call["who"] == "eve"]
    assert [(call["address"], call["result"]) for call in refused] == [("127.0.0.1", "denied")]
