"""Who a request comes from: every way to be nobody, real clients, revoked rights, lock-outs."""

from __future__ import annotations

import base64
import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import argon2
import pyotp
import pytest
import spnego
from pypsrp.exceptions import AuthenticationError, WinRMTransportError
from pypsrp.wsman import WSMan
from spnego._ntlm_raw.crypto import hmac_md5, ntowfv1, ntowfv2
from spnego._ntlm_raw.messages import Authenticate, Challenge
from spnego.channel_bindings import GssChannelBindings
from winrm.exceptions import InvalidCredentialsError
from winrm.exceptions import WinRMTransportError as PywinrmError
from winrm.protocol import Protocol

from fakes.http_rig import PASSWORD, HttpRig, port
from fakes.http_wire import GET, HttpWire, basic
from fakes.widgets import Widgets
from fakes.wsman_client import WIDGET, element, selectors
from openrdms.config import ChannelBinding
from openrdms.frontends.http import authentication, message_encryption
from openrdms.model.account import Role
from openrdms.model.errors import RecordsUnavailable
from openrdms.model.web_session import Scope
from openrdms.security import lockout, passwords
from openrdms.security.accounts import Change
from openrdms.security.negotiate import tls_server_end_point

KEYS = selectors(Name="one", Slot=1)
ADMIN = basic("admin", PASSWORD)
WRONG = basic("admin", "not the password")
ENCRYPTED = (
    f'multipart/encrypted;protocol="{message_encryption.SPNEGO}";boundary="Encrypted Boundary"'
)

RigFactory = Callable[..., HttpRig]


@pytest.fixture(autouse=True)
def _quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to no argon2, and no wait after a failure."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", cheap)
    monkeypatch.setattr(authentication, "FAILURE_SECONDS", 0.01)


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[RigFactory]:
    with ExitStack() as made:

        def make(**options: Any) -> HttpRig:
            widgets = Widgets()
            widgets.add("One", 1, Text="here")
            rig = HttpRig(tmp_path / str(time.monotonic_ns()), widgets, **options)
            made.callback(rig.stop)
            rig.add_ntlm_account("alice")
            return rig

        yield make


@pytest.fixture
def rig(make_rig: RigFactory) -> HttpRig:
    return make_rig()


@pytest.fixture
def strict(make_rig: RigFactory) -> HttpRig:
    """Without TLS it takes encrypted messages only."""
    return make_rig(allow_unencrypted=False)


@pytest.fixture
def wire(rig: HttpRig) -> Iterator[HttpWire]:
    with HttpWire(rig.http_url) as wire:
        yield wire


class TestNobody:
    """Each ends in 401, and no provider was called (CVE-2021-38647)."""

    def test_no_header(self, rig: HttpRig, wire: HttpWire) -> None:
        reply = wire.post()
        assert reply.status == 401
        offered = reply.headers.get_all("WWW-Authenticate")
        assert offered == ["Negotiate", "NTLM", 'Basic realm="WSMAN"']
        assert rig.widgets.calls == 0

    @pytest.mark.parametrize("scheme", ["Negotiate", "NTLM", "Kerberos", "Digest", "basic "])
    @pytest.mark.parametrize(
        "token",
        [
            b"",
            b"\0",
            b"NTLMSSP\0",
            b"NTLMSSP\0\3\0\0\0" + bytes(80),
            b"NTLMSSP\0\1\0\0\0" + bytes(4),
            b"\x60\x03\x06\x01\x2a",
            b"\x60\x84\xff\xff\xff\xff",
            b"\xa1\x82\x01\x00" + bytes(30),
            bytes(5000),
        ],
    )
    def test_a_failed_step(self, rig: HttpRig, wire: HttpWire, scheme: str, token: bytes) -> None:
        assert wire.post_token(scheme, token, GET).status == 401
        assert wire.post().status == 401
        assert rig.widgets.calls == 0

    def test_half_a_handshake(self, rig: HttpRig, wire: HttpWire) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        challenge = wire.post_token("NTLM", client.step() or b"", GET)
        assert (challenge.status, challenge.body) == (401, b"")
        last = client.step(challenge.token("NTLM")) or b""
        assert wire.post().status == 401
        # What was interrupted cannot go on either.
        assert wire.post_token("NTLM", last, GET).status == 401
        assert rig.widgets.calls == 0

    def test_a_request_pipelined_behind_half_a_handshake(self, rig: HttpRig) -> None:
        token = spnego.client("alice", PASSWORD, protocol="ntlm").step() or b""
        header = f"Authorization: NTLM {base64.b64encode(token).decode()}\r\n"
        both = _render(header) + _render("Connection: close\r\n")
        assert _statuses(rig, both) == [401, 401]
        assert rig.widgets.calls == 0

    def test_a_failure_on_a_connection_that_was_let_in(self, rig: HttpRig, wire: HttpWire) -> None:
        wire.sign_in("NTLM", "alice", PASSWORD)
        assert wire.post().status == 200
        assert wire.post_token("NTLM", b"broken").status == 401
        assert wire.post().status == 401
        assert rig.widgets.calls == 1

    @pytest.mark.parametrize("header", [WRONG, "Digest x", "", ADMIN])
    def test_another_header_replaces_who_it_was(
        self, rig: HttpRig, wire: HttpWire, header: str
    ) -> None:
        wire.sign_in("Negotiate", "alice", PASSWORD)
        assert wire.post(authorization=header).status == (200 if header == ADMIN else 401)
        calls = rig.widgets.calls
        assert wire.post().status == 401
        assert rig.widgets.calls == calls

    def test_another_scheme_in_the_middle(self, rig: HttpRig, wire: HttpWire) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        challenge = wire.post_token("NTLM", client.step() or b"")
        last = client.step(challenge.token("NTLM")) or b""
        assert wire.post_token("Negotiate", last, GET).status == 401
        assert wire.post_token("NTLM", last, GET).status == 401
        assert rig.widgets.calls == 0

    def test_the_last_token_on_another_connection(self, rig: HttpRig, wire: HttpWire) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        challenge = wire.post_token("NTLM", client.step() or b"")
        last = client.step(challenge.token("NTLM")) or b""
        with HttpWire(rig.http_url) as other:
            assert other.post_token("NTLM", last, GET).status == 401
        assert rig.widgets.calls == 0

    def test_what_one_connection_came_to_is_of_no_use_to_another(self, rig: HttpRig) -> None:
        # Of 127.0.0.1 another connection, or what lingers of one, could have the same port.
        with HttpWire(rig.http_url, address=("127.0.0.2", 0)) as wire:
            wire.sign_in("NTLM", "alice", PASSWORD)
            address = wire.connection.sock.getsockname()
            # Closed with a reset, so that the port is free at once.
            linger = b"\1\0\0\0" + bytes(4)
            wire.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        with HttpWire(rig.http_url, address=address) as again:
            assert again.post().status == 401
        assert rig.widgets.calls == 0

    def test_identify_is_for_nobody_only(self, rig: HttpRig, wire: HttpWire) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        wire.post_token("NTLM", client.step() or b"")
        assert wire.post(WSMANIDENTIFY="unauthenticated").status == 401


class TestOrder:
    def test_pipelined_requests_are_answered_in_order(self, rig: HttpRig) -> None:
        one = _render(f"Authorization: {ADMIN}\r\n")
        nobody = _render("")
        last = _render(f"Authorization: {ADMIN}\r\nConnection: close\r\n")
        assert _statuses(rig, one + nobody + one + one + last) == [200, 401, 200, 200, 200]

    def test_a_held_back_answer_holds_back_those_behind_it(self, rig: HttpRig) -> None:
        wrong = _render(f"Authorization: {WRONG}\r\n")
        last = _render(f"Authorization: {ADMIN}\r\nConnection: close\r\n")
        assert _statuses(rig, wrong + last) == [401, 200]

    def test_after_a_handshake_the_pipeline_is_somebody(self, rig: HttpRig, wire: HttpWire) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        challenge = wire.post_token("NTLM", client.step() or b"")
        last = base64.b64encode(client.step(challenge.token("NTLM")) or b"").decode()
        both = _render(f"Authorization: NTLM {last}\r\n") + _render("Connection: close\r\n")
        wire.connection.sock.sendall(both)
        assert _read_all(wire.connection.sock).count(b"HTTP/1.1 200 OK") == 2
        assert rig.widgets.calls == 2


class TestStockClients:
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
    @pytest.mark.parametrize("user", ["alice", "ALICE", "ANYHOST\\alice"])
    def test_pypsrp(self, strict: HttpRig, scheme: str, auth: str, user: str) -> None:
        with strict.client(scheme, user, auth=auth, encryption="auto") as client:
            for _ in range(3):
                client.get(WIDGET, selector_set=KEYS)
        assert {caller.name for caller in strict.guard.callers} == {"alice"}
        assert strict.refusals == []

    def test_pypsrp_encrypts_within_tls_too(self, strict: HttpRig) -> None:
        with strict.client("https", "alice", auth="negotiate", encryption="always") as client:
            client.get(WIDGET, selector_set=KEYS)

    def test_pypsrp_without_encryption(self, strict: HttpRig) -> None:
        with (
            strict.client("http", "alice", auth="ntlm", encryption="never") as client,
            pytest.raises(WinRMTransportError) as caught,
        ):
            client.get(WIDGET, selector_set=KEYS)
        assert caught.value.code == 403
        assert strict.widgets.calls == 0

    @pytest.mark.parametrize(
        ("user", "password"),
        [("alice", "not the password"), ("nobody", PASSWORD), ("admin", PASSWORD)],
    )
    def test_pypsrp_refused(self, strict: HttpRig, user: str, password: str) -> None:
        """admin may not use NTLM."""
        with (
            strict.client("http", user, password, auth="ntlm", encryption="auto") as client,
            pytest.raises(AuthenticationError),
        ):
            client.get(WIDGET, selector_set=KEYS)
        ((name, address, _, _),) = strict.refusals
        assert (name, address) == (user, "127.0.0.1")

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_pywinrm(self, strict: HttpRig, scheme: str) -> None:
        with _pywinrm(strict, scheme, PASSWORD) as client:
            for _ in range(2):
                assert b"Test_Widget" in client.send_message(GET.decode())
        with (
            _pywinrm(strict, scheme, "not the password") as client,
            pytest.raises(InvalidCredentialsError),
        ):
            client.send_message(GET.decode())

    def test_pywinrm_without_encryption(self, strict: HttpRig) -> None:
        with (
            _pywinrm(strict, "http", PASSWORD, message_encryption="never") as client,
            pytest.raises(PywinrmError),
        ):
            client.send_message(GET.decode())
        assert strict.widgets.calls == 0

    @pytest.mark.parametrize("user", ["carol", "WORKGROUP\\carol"])
    def test_curl(self, strict: HttpRig, user: str) -> None:
        """Whose NTLM knows no letters but ASCII's."""
        strict.add_ntlm_account("carol", "a plain password")
        login = f"{user}:a plain password"
        assert _curl(strict, strict.https_url, "--ntlm", "-u", login) == "200"
        assert _curl(strict, strict.http_url, "--ntlm", "-u", login) == "403"
        assert _curl(strict, strict.https_url, "--ntlm", "-u", f"{user}:x") == "401"
        assert strict.widgets.calls == 1

    @pytest.mark.parametrize("scheme", ["--ntlm", "--basic"])
    def test_who_has_a_device_needs_more_than_a_password(
        self, strict: HttpRig, scheme: str
    ) -> None:
        strict.add_ntlm_account("dora", "a plain password")
        login = ("-u", "dora:a plain password")
        assert _curl(strict, strict.https_url, scheme, *login) == "200"
        dora, device = strict.accounts.get("dora"), strict.second_factors
        device.enrol(dora, pyotp.TOTP(device.propose(dora).secret).now())
        assert _curl(strict, strict.https_url, scheme, *login) == "401"
        secret, _ = strict.tokens.make("dora", "curl", [*Scope], None)
        assert _curl(strict, strict.https_url, "--basic", "-u", f"dora:{secret}") == "200"
        assert _curl(strict, strict.https_url, "--basic", "-u", f"alice:{secret}") == "401"

    def test_curl_that_waits_for_401(self, strict: HttpRig) -> None:
        strict.accounts.change("alice", Change(ntlm=False))
        url = strict.https_url
        assert _curl(strict, url, "--anyauth", "-u", f"admin:{PASSWORD}") == "200"

    def test_nothing_is_offered_that_nobody_can_use(self, strict: HttpRig) -> None:
        strict.accounts.change("alice", Change(ntlm=False))
        with HttpWire(strict.http_url) as wire:
            assert wire.post().headers["WWW-Authenticate"] is None


class TestNtlm:
    @pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
    @pytest.mark.parametrize("level", ["0", "1", "2"])
    def test_version_1_is_refused(
        self,
        rig: HttpRig,
        wire: HttpWire,
        monkeypatch: pytest.MonkeyPatch,
        scheme: str,
        level: str,
    ) -> None:
        monkeypatch.setenv("LM_COMPAT_LEVEL", level)
        client = spnego.client("alice", PASSWORD, protocol=scheme.lower())
        challenge = wire.post_token(scheme, client.step() or b"")
        last = client.step(challenge.token(scheme)) or b""
        assert wire.post_token(scheme, last, GET).status == 401
        assert [refusal[:3] for refusal in rig.refusals] == [("alice", "127.0.0.1", scheme)]
        assert rig.widgets.calls == 0

    def test_anonymous_is_refused(self, rig: HttpRig, wire: HttpWire) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        challenge = wire.post_token("NTLM", client.step() or b"").token("NTLM")
        nobody = Authenticate(Challenge.unpack(challenge).flags, b"\0", b"", username="")
        assert wire.post_token("NTLM", nobody.pack(), GET).status == 401
        assert rig.widgets.calls == 0

    def test_a_message_changed_on_its_way_is_refused(self, rig: HttpRig, wire: HttpWire) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        challenge = wire.post_token("NTLM", client.step() or b"").token("NTLM")
        last = client.step(challenge) or b""
        workstation = (Authenticate.unpack(last).workstation or "").encode("utf-16-le")
        changed = last.replace(workstation, bytes(len(workstation)))
        assert wire.post_token("NTLM", changed, GET).status == 401
        assert changed != last
        assert rig.widgets.calls == 0


class TestChannelBinding:
    @pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
    @pytest.mark.parametrize(
        ("setting", "sent", "status"),
        [
            ("none", "right", 200),
            ("none", "absent", 200),
            ("none", "wrong", 200),
            ("relaxed", "right", 200),
            ("relaxed", "absent", 200),
            ("relaxed", "zero", 200),
            ("relaxed", "wrong", 401),
            ("strict", "right", 200),
            ("strict", "absent", 401),
            ("strict", "zero", 401),
            ("strict", "wrong", 401),
        ],
    )
    def test_settings(
        self,
        make_rig: RigFactory,
        monkeypatch: pytest.MonkeyPatch,
        scheme: str,
        setting: str,
        sent: str,
        status: int,
    ) -> None:
        rig = make_rig(channel_binding=ChannelBinding(setting))
        bindings = None
        if sent != "absent":
            right = tls_server_end_point(rig.certificate.certificate)
            bindings = GssChannelBindings(application_data=right if sent == "right" else b"x")
        if sent == "zero":
            monkeypatch.setattr("spnego._ntlm.md5", lambda _: bytes(16))
        with HttpWire(rig.https_url, rig.certificate.certificate) as wire:
            _, reply = wire.shake_hands(scheme, "alice", PASSWORD, channel_bindings=bindings)
            assert reply.status == status
            assert wire.post().status == status

    def test_without_tls_there_is_nothing_to_bind_to(self, make_rig: RigFactory) -> None:
        rig = make_rig(channel_binding=ChannelBinding.STRICT, allow_unencrypted=False)
        with rig.client("http", "alice", auth="ntlm", encryption="auto") as client:
            client.get(WIDGET, selector_set=KEYS)

    def test_a_stock_client_is_bound(self, make_rig: RigFactory) -> None:
        rig = make_rig(channel_binding=ChannelBinding.STRICT)
        with rig.client("https", "alice", auth="negotiate") as client:
            client.get(WIDGET, selector_set=KEYS)


class _Client:
    """The client's half of message encryption."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def unwrap(self, signature: bytes, data: bytes) -> bytes:
        unwrapped: bytes = self._context.unwrap_winrm(signature, data)
        return unwrapped

    def wrap(self, data: bytes) -> tuple[bytes, bytes, int]:
        wrapped = self._context.wrap_winrm(data)
        return wrapped.header, wrapped.data, wrapped.padding_length

    def encrypt(self, body: bytes = GET) -> tuple[str, bytes]:
        kind = "application/soap+xml;charset=UTF-8"
        return message_encryption.encrypt(message_encryption.SPNEGO, kind, body, self)


class TestEncryption:
    @pytest.fixture
    def wire(self, strict: HttpRig) -> Iterator[HttpWire]:
        with HttpWire(strict.http_url) as wire:
            yield wire

    def test_request_and_reply(self, wire: HttpWire) -> None:
        client = _Client(wire.sign_in("Negotiate", "alice", PASSWORD))
        for _ in range(2):
            kind, body = client.encrypt()
            reply = wire.post(body, **{"Content-Type": kind})
            assert reply.status == 200
            assert b"Test_Widget" not in reply.body
            original = message_encryption.decrypt(reply.headers["Content-Type"], reply.body, client)
            assert original.content_type == "application/soap+xml;charset=UTF-8"
            assert b"Test_Widget" in original.body

    def test_a_plain_request_is_refused(self, strict: HttpRig, wire: HttpWire) -> None:
        wire.sign_in("Negotiate", "alice", PASSWORD)
        assert wire.post().status == 403
        assert strict.widgets.calls == 0

    @pytest.mark.parametrize("at", [-40, -60, -400])
    def test_a_tampered_request_ends_all(self, strict: HttpRig, wire: HttpWire, at: int) -> None:
        client = _Client(wire.sign_in("NTLM", "alice", PASSWORD))
        kind, body = client.encrypt()
        tampered = bytearray(body)
        tampered[at] ^= 1
        assert wire.post(bytes(tampered), **{"Content-Type": kind}).status == 400
        with pytest.raises((http.client.NotConnected, ConnectionError, OSError)):
            wire.post()
        assert strict.widgets.calls == 0

    def test_a_repeated_request_is_refused(self, strict: HttpRig, wire: HttpWire) -> None:
        client = _Client(wire.sign_in("NTLM", "alice", PASSWORD))
        kind, body = client.encrypt()
        assert wire.post(body, **{"Content-Type": kind}).status == 200
        assert wire.post(body, **{"Content-Type": kind}).status == 400
        assert strict.widgets.calls == 1

    def test_what_was_encrypted_for_another_connection(
        self, strict: HttpRig, wire: HttpWire
    ) -> None:
        kind, body = _Client(wire.sign_in("NTLM", "alice", PASSWORD)).encrypt()
        with HttpWire(strict.http_url) as other:
            assert other.post(body, **{"Content-Type": kind}).status == 401
            other.sign_in("NTLM", "alice", PASSWORD)
            assert other.post(body, **{"Content-Type": kind}).status == 400
        assert strict.widgets.calls == 0

    def test_without_sealing_there_is_no_encryption(self, strict: HttpRig, wire: HttpWire) -> None:
        wire.sign_in("NTLM", "alice", PASSWORD, context_req=spnego.ContextReq.none)
        payload = b"\x10\0\0\0\1" + bytes(15) + GET
        body = (
            b"--Encrypted Boundary\r\n\tContent-Type: application/x\r\n"
            b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"
            b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
            b"%b--Encrypted Boundary--\r\n" % (len(GET), payload)
        )
        assert wire.post(body, **{"Content-Type": ENCRYPTED}).status == 400
        assert strict.widgets.calls == 0

    def test_basic_has_nothing_to_decrypt_with(self, rig: HttpRig) -> None:
        with HttpWire(rig.http_url) as wire:
            assert wire.post(GET, ADMIN, **{"Content-Type": ENCRYPTED}).status == 415
        assert rig.widgets.calls == 0


class TestRevoked:
    """On an open connection that was let in."""

    @pytest.fixture(params=["Basic", "NTLM"])
    def ask(self, request: pytest.FixtureRequest, wire: HttpWire) -> Callable[[], int]:
        if request.param == "NTLM":
            wire.sign_in("NTLM", "alice", PASSWORD)
        header = basic("alice", PASSWORD) if request.param == "Basic" else None
        return lambda: wire.post(GET, header).status

    @pytest.mark.parametrize(
        "change", [Change(enabled=False), Change(password="another password"), None]
    )
    def test_refused_at_once(
        self, rig: HttpRig, ask: Callable[[], int], change: Change | None
    ) -> None:
        assert ask() == ask() == 200
        if change:
            rig.accounts.change("alice", change)
        else:
            rig.accounts.remove("alice")
        assert ask() == ask() == 401
        assert rig.widgets.calls == 2

    def test_a_new_role_holds_at_once(self, rig: HttpRig, ask: Callable[[], int]) -> None:
        assert ask() == 200
        rig.accounts.change("alice", Change(role=Role.AUDITOR))
        assert ask() == 200
        assert [caller.role for caller in rig.guard.callers] == ["administrator", "auditor"]

    def test_nobody_becomes_somebody_again_without_saying_so(
        self, rig: HttpRig, wire: HttpWire
    ) -> None:
        wire.sign_in("NTLM", "alice", PASSWORD)
        rig.accounts.change("alice", Change(enabled=False))
        assert wire.post().status == 401
        rig.accounts.change("alice", Change(enabled=True))
        assert wire.post().status == 401


class TestLockout:
    def test_it_locks_whatever_the_scheme_and_opens_again(
        self, rig: HttpRig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with HttpWire(rig.http_url) as proven, HttpWire(rig.http_url) as wire:
            assert proven.post(GET, basic("alice", PASSWORD)).status == 200
            for _ in range(2):
                assert wire.post(GET, basic("ALICE", "wrong")).status == 401
            for _ in range(2):
                _, reply = wire.shake_hands("NTLM", "alice", "wrong")
                assert reply.headers["Retry-After"] is None
            with HttpWire(rig.http_url) as other:  # who was right lately is not kept out
                assert other.post(GET, basic("alice", PASSWORD)).status == 200
            rig.accounts.change("alice", Change(add_groups=("Changed",)))
            with monkeypatch.context() as patch:
                patch.setattr(rig.accounts, "verify", pytest.fail)  # it costs no argon2
                for header in (basic("alice", PASSWORD), basic("alice", "wrong")):
                    refused = wire.post(GET, header)
                    assert (refused.status, refused.headers["Retry-After"]) == (401, "2")
            _, refused = wire.shake_hands("Negotiate", "alice", PASSWORD)
            assert (refused.status, refused.headers["Retry-After"]) == (401, "2")
            assert proven.post(GET, basic("alice", PASSWORD)).status == 200
            assert wire.post(GET, ADMIN).status == 200
            rig.clock += 1.1
            assert wire.post(GET, basic("alice", PASSWORD)).status == 200
            assert wire.post(GET, basic("alice", "wrong")).status == 401
            assert wire.post(GET, basic("alice", PASSWORD)).status == 200
        assert len(rig.refusals) == 5

    def test_nobody_can_guess_for_long_at_what_is_remembered(
        self, rig: HttpRig, wire: HttpWire
    ) -> None:
        with HttpWire(rig.http_url) as proven:
            assert proven.post(GET, ADMIN).status == 200
            for _ in range(4 + lockout.FREE_REFUSALS):
                assert wire.post(GET, WRONG).status == 401
            assert wire.post(GET, ADMIN).status == 401
            assert proven.post(GET, ADMIN).status == 200
        rig.clock += 1.1
        assert wire.post(GET, ADMIN).status == 200

    @pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
    def test_right_and_wrong_passwords_have_the_same_answer_meanwhile(
        self, rig: HttpRig, wire: HttpWire, scheme: str
    ) -> None:
        for _ in range(4):
            wire.shake_hands(scheme, "alice", "wrong")
        for password in (PASSWORD, "wrong"):
            _, reply = wire.shake_hands(scheme, "alice", password)
            assert (reply.status, reply.headers["Retry-After"]) == (401, "2")
        assert len(rig.refusals) == 4

    @pytest.mark.parametrize("name", ["al\u0131ce", "\\alice", "x\\alice", "alice@x"])
    def test_no_other_name_is_the_same_account(
        self, rig: HttpRig, wire: HttpWire, name: str
    ) -> None:
        client = spnego.client("alice", PASSWORD, protocol="ntlm")
        challenge = wire.post_token("NTLM", client.step() or b"").token("NTLM")
        sent = Authenticate.unpack(client.step(challenge) or b"")
        key = ntowfv2(name, ntowfv1(PASSWORD), sent.domain_name)
        response = (sent.nt_challenge_response or b"")[16:]
        proof = hmac_md5(key, Challenge.unpack(challenge).server_challenge + response)
        forged = Authenticate(
            sent.flags, b"", proof + response, domain_name=sent.domain_name, username=name
        )
        assert wire.post_token("NTLM", forged.pack(), GET).status == 401
        assert "name" in rig.refusals[0][3]

    def test_names_that_do_not_exist_count_alike(self, rig: HttpRig, wire: HttpWire) -> None:
        replies = [wire.post(GET, basic("nobody", "wrong")) for _ in range(5)]
        assert [reply.headers["Retry-After"] for reply in replies] == [None] * 4 + ["2"]


class TestRecordsAway:
    def test_who_has_a_token_is_told_to_come_again(
        self, rig: HttpRig, wire: HttpWire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret, _ = rig.tokens.make("alice", "script", [*Scope], None)

        def find(_secret: str) -> None:
            raise RecordsUnavailable("records: the database does not answer; try again")

        with monkeypatch.context() as away:
            away.setattr(rig.tokens, "find", find)
            reply = wire.post(GET, basic("alice", secret))
            assert (reply.status, reply.headers["retry-after"]) == (503, "5")
            assert reply.headers["www-authenticate"] is None
        assert wire.post(GET, basic("alice", secret)).status == 200
        assert rig.refusals == []


class TestSlowCalls:
    def test_many_of_them_hold_up_nobody(self, rig: HttpRig, wire: HttpWire) -> None:
        with ExitStack() as clients, ThreadPoolExecutor(128) as threads:
            clients.callback(rig.widgets.free.set)
            body = element(WIDGET, "Wait_INPUT")

            def wait() -> None:
                client: WSMan = clients.enter_context(rig.client("http"))
                client.invoke(f"{WIDGET}/Wait", WIDGET, body)

            calls = [threads.submit(wait) for _ in range(128)]
            deadline = time.monotonic() + 120  # 128 clients sign in, in this process
            while rig.widgets.calls < 128 and time.monotonic() < deadline:
                time.sleep(0.02)
                assert not [call.exception() for call in calls if call.done()]
            assert rig.widgets.calls == 128
            for _ in range(20):
                assert wire.post(GET, ADMIN).status == 200  # within the wire's 10 s
            rig.widgets.free.set()
            for call in calls:
                call.result(60)
        deadline = time.monotonic() + 30
        while _count_threads() >= 40 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert _count_threads() < 40  # most have gone again


def _count_threads() -> int:
    return sum(thread.name == "http" for thread in threading.enumerate())


@contextmanager
def _pywinrm(rig: HttpRig, scheme: str, password: str, **options: Any) -> Iterator[Protocol]:
    client = Protocol(
        rig.https_url if scheme == "https" else rig.http_url,
        transport="ntlm",
        username="alice",
        password=password,
        ca_trust_path=str(rig.certificate.certificate),
        **options,
    )
    try:
        yield client
    finally:
        client.transport.close_session()


def _curl(rig: HttpRig, url: str, *arguments: str) -> str:
    """The status of the last reply."""
    command = ["curl", "--silent", "--noproxy", "*", "--output", "/dev/null"]
    command += ["--cacert", str(rig.certificate.certificate), "--write-out", "%{http_code}"]
    command += ["--data-binary", GET.decode(), "-H", "Content-Type: application/soap+xml"]
    done = subprocess.run([*command, *arguments, url], capture_output=True, text=True, check=True)
    return done.stdout


def _render(headers: str) -> bytes:
    head = f"POST /wsman HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(GET)}\r\n\r\n"
    return head.encode() + GET


def _statuses(rig: HttpRig, data: bytes) -> list[int]:
    """Of all replies until the server closes."""
    with socket.create_connection(("127.0.0.1", port(rig.http_url)), 10) as connection:
        connection.sendall(data)
        read = _read_all(connection)
    return [int(part[:3]) for part in read.split(b"HTTP/1.1 ")[1:]]


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
