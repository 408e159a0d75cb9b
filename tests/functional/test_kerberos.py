"""Kerberos against an MIT KDC on loopback, with stock clients."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import spnego
from pypsrp.exceptions import AuthenticationError
from spnego.channel_bindings import GssChannelBindings

from fakes.http_rig import HttpRig
from fakes.http_wire import GET, HttpWire
from fakes.widgets import Widgets
from fakes.wsman_client import WIDGET, selectors
from live.kdc import REALM, Kdc
from openrdms.config import ChannelBinding
from openrdms.model.account import Role
from openrdms.security.accounts import Change
from openrdms.security.negotiate import tls_server_end_point

KEYS = selectors(Name="one", Slot=1)
ALICE = f"alice@{REALM}"

RigFactory = Callable[..., HttpRig]


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    kdc = Kdc(tmp_path_factory.mktemp("kdc") / "realm")
    yield kdc
    kdc.stop()


@pytest.fixture(scope="module")
def tickets(kdc: Kdc) -> dict[str, str]:
    return {name: kdc.sign_in(name) for name in ("alice", "Alice", "mallory")}


@pytest.fixture(autouse=True)
def _as_alice(kdc: Kdc, tickets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", tickets["alice"])
    monkeypatch.setenv("KRB5_KTNAME", "")  # what the service sets goes with the test


@pytest.fixture
def make_rig(kdc: Kdc, tmp_path: Path) -> Iterator[RigFactory]:
    with ExitStack() as made:

        def make(**options: Any) -> HttpRig:
            widgets = Widgets()
            widgets.add("One", 1, Text="here")
            options = {"keytab": kdc.keytab, "allow_unencrypted": False, **options}
            rig = HttpRig(tmp_path / "rig", widgets, **options)
            made.callback(rig.stop)
            rig.accounts.add(ALICE, Role.ADMINISTRATOR)
            return rig

        yield make


@pytest.fixture
def rig(make_rig: RigFactory) -> HttpRig:
    return make_rig()


def get(rig: HttpRig, scheme: str, **options: Any) -> None:
    defaults = {"auth": "kerberos", "negotiate_service": "HTTP", "encryption": "auto"}
    options = {**defaults, "host": "localhost", **options}
    with rig.client(scheme, None, None, **options) as client:  # type: ignore[arg-type]
        for _ in range(2):
            client.get(WIDGET, selector_set=KEYS)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("service", ["HTTP", "WSMAN"])
@pytest.mark.parametrize("auth", ["kerberos", "negotiate"])
def test_pypsrp(rig: HttpRig, scheme: str, service: str, auth: str) -> None:
    get(rig, scheme, auth=auth, negotiate_service=service)
    assert {caller.name for caller in rig.guard.callers} == {ALICE}


@pytest.mark.parametrize("scheme", ["Kerberos", "Negotiate"])
def test_either_scheme(rig: HttpRig, scheme: str) -> None:
    with HttpWire(_local(rig.https_url), rig.certificate.certificate) as wire:
        offered = wire.post().headers.get_all("WWW-Authenticate")
        assert offered == ["Negotiate", "Kerberos", 'Basic realm="WSMAN"']
        wire.sign_in(scheme, None, None, hostname="localhost", service="HTTP")
        assert wire.post().status == 200


def test_curl(rig: HttpRig) -> None:
    command = ["curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--negotiate"]
    command += ["--cacert", str(rig.certificate.certificate), "--write-out", "%{http_code}"]
    command += ["--user", ":", "--data-binary", GET.decode(), _local(rig.https_url)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "200"


@pytest.mark.parametrize("name", ["mallory", "Alice"])
def test_a_principal_without_an_account(
    rig: HttpRig, tickets: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The realm knows them; two principals may differ in case alone."""
    monkeypatch.setenv("KRB5CCNAME", tickets[name])
    with pytest.raises(AuthenticationError):
        get(rig, "https")
    assert rig.refusals == [(f"{name}@{REALM}", "127.0.0.1", "Negotiate", "no such account")]
    assert rig.widgets.calls == 0


def test_a_disabled_account(rig: HttpRig) -> None:
    rig.accounts.change(ALICE, Change(enabled=False))
    with pytest.raises(AuthenticationError):
        get(rig, "https")


def test_without_a_keytab_there_is_no_kerberos(make_rig: RigFactory) -> None:
    rig = make_rig(keytab=None)
    with HttpWire(_local(rig.https_url), rig.certificate.certificate) as wire:
        assert wire.post().headers.get_all("WWW-Authenticate") == ['Basic realm="WSMAN"']
        context = spnego.client(protocol="kerberos", hostname="localhost", service="HTTP")
        assert wire.post_token("Kerberos", context.step() or b"", GET).status == 401
    assert rig.widgets.calls == 0


def test_a_ticket_is_good_for_one_connection(rig: HttpRig) -> None:
    token = spnego.client(protocol="kerberos", hostname="localhost", service="HTTP").step() or b""
    certificate = rig.certificate.certificate
    with HttpWire(_local(rig.https_url), certificate) as wire:
        assert wire.post_token("Kerberos", token, GET).status == 200
    with HttpWire(_local(rig.https_url), certificate) as wire:
        assert wire.post_token("Kerberos", token, GET).status == 401
    assert rig.widgets.calls == 1


@pytest.mark.parametrize("scheme", ["Kerberos", "Negotiate"])
@pytest.mark.parametrize(
    ("setting", "sent", "status"),
    [
        ("none", "wrong", 200),
        ("relaxed", "right", 200),
        ("relaxed", "absent", 200),
        ("relaxed", "wrong", 401),
        ("strict", "right", 200),
        ("strict", "absent", 401),
        ("strict", "wrong", 401),
    ],
)
def test_channel_binding(
    make_rig: RigFactory, scheme: str, setting: str, sent: str, status: int
) -> None:
    rig = make_rig(channel_binding=ChannelBinding(setting))
    right = tls_server_end_point(rig.certificate.certificate)
    bindings = GssChannelBindings(application_data=right if sent == "right" else b"x")
    with HttpWire(_local(rig.https_url), rig.certificate.certificate) as wire:
        _, reply = wire.shake_hands(
            *(scheme, None, None),
            hostname="localhost",
            service="HTTP",
            channel_bindings=None if sent == "absent" else bindings,
        )
        assert reply.status == status
        assert wire.post().status == status


def _local(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")
