"""Listeners over widgets, with real accounts: what tests of HTTP and authentication drive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pypsrp.wsman import WSMan

from fakes.guards import OpenGuard
from fakes.new_records import open_records
from fakes.widgets import SCHEMA, Widgets
from openrdms.cim.guard import Operation
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.config import ChannelBinding
from openrdms.frontends import http
from openrdms.frontends.proxy_protocol import DIRECT, Balancers
from openrdms.frontends.wsman.server import WsmanServer
from openrdms.frontends.wsman.service import Service
from openrdms.model.account import Role
from openrdms.security import certificate
from openrdms.security.accounts import Accounts, Change
from openrdms.security.api_tokens import ApiTokens
from openrdms.security.credentials import Credentials
from openrdms.security.lockout import Lockouts
from openrdms.security.negotiate import Negotiator
from openrdms.security.totp import SecondFactors

PASSWORD = "s\u00e4cret:with colon"
"""Of accounts that a test makes no other for."""


class RememberingGuard(OpenGuard):
    """Keeps the callers themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[Caller] = []

    @contextmanager
    def watch(self, caller: Caller, operation: Operation) -> Iterator[OpenGuard]:
        self.callers.append(caller)
        yield self


class HttpRig:
    """One running pair of listeners. ``refusals`` are what the audit log would have been told."""

    def __init__(
        self,
        place: Path,
        widgets: Widgets,
        *,
        allow_unencrypted: bool = True,
        keytab: Path | None = None,
        channel_binding: ChannelBinding = ChannelBinding.RELAXED,
        balancers: Balancers = DIRECT,
    ) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.widgets = widgets
        self.refusals: list[tuple[str, str, str, str]] = []
        self.clock = 0.0
        self._store = open_records(place / "records.sqlite")
        self.accounts = Accounts(self._store, place / "nt-hashes", lambda: datetime.now(UTC))
        self.accounts.add("admin", Role.ADMINISTRATOR, password=PASSWORD)
        self.certificate = certificate.ensure(place / "tls", "broker.test")
        self.guard = RememberingGuard()
        manager = ObjectManager(SCHEMA, {"Test_Widget": widgets}, self.guard)
        self.server = WsmanServer(Service(Namespaces([manager]), "1.2.3"))
        self.authentication = http.Authentication(
            self.accounts,
            self._make_credentials(place),
            Lockouts(lambda: self.clock),
            Negotiator(self.accounts, keytab, channel_binding),
            lambda *refusal: self.refusals.append(refusal),
            allow_unencrypted=allow_unencrypted,
        )
        endpoint = http.Endpoint(self.server, "127.0.0.1", 0, 0)
        self.listeners = http.Listeners(
            [endpoint], self.authentication, self.certificate, balancers
        )
        ((self.http_url, self.https_url),) = self.listeners.urls
        self.listeners.start()

    def _make_credentials(self, place: Path) -> Credentials:
        self.tokens = ApiTokens(self._store, self.accounts, lambda: datetime.now(UTC))
        self.second_factors = SecondFactors(
            self._store, self.accounts, place / "totp-key", lambda: datetime.now(UTC)
        )
        return Credentials(self.accounts, self.tokens, self.second_factors)

    def add_ntlm_account(self, name: str, password: str = PASSWORD) -> None:
        """An administrator who may use NTLM."""
        self.accounts.add(name, Role.ADMINISTRATOR)
        self.accounts.change(name, Change(password=password, ntlm=True))

    def stop(self) -> None:
        self.listeners.stop()
        self._store.close()

    def client(
        self, scheme: str = "https", user: str = "admin", password: str = PASSWORD, **options: Any
    ) -> WSMan:
        """pypsrp's; Basic unless ``options`` say otherwise."""
        url = self.https_url if scheme == "https" else self.http_url
        options = {
            "auth": "basic",
            "encryption": "auto" if scheme == "https" else "never",
        } | options
        host = options.pop("host", "127.0.0.1")
        client = WSMan(
            host,
            port=port(url),
            ssl=scheme == "https",
            username=user,
            password=password,
            no_proxy=True,
            **options,
        )
        client.transport.cert_validation = str(self.certificate.certificate)
        return client


def port(url: str) -> int:
    return int(url.split(":")[2].partition("/")[0])
