"""A running service: an engine over a core, and the front ends that call it."""

from __future__ import annotations

import json
import os

from openrdms import config
from openrdms.app.admission import make_admission
from openrdms.app.core import Core
from openrdms.app.engine import Engine
from openrdms.app.protocols import PROTOCOLS, make_endpoints
from openrdms.app.web import WebFrontend
from openrdms.frontends import http
from openrdms.frontends.admin.commands import LocalAdmin
from openrdms.frontends.admin.server import AdminServer, local_name
from openrdms.frontends.proxy_protocol import Balancers
from openrdms.model import errors
from openrdms.security import certificate
from openrdms.security.audited_change import AuditedChange
from openrdms.security.passwords import read_password_file


class Service:
    """All parts, built at once and started in order."""

    def __init__(self, core: Core, settings: config.ServeConfig) -> None:
        """OperationFailed when an address cannot be bound."""
        self._settings = settings
        self._member = core.members.me
        self._engine = Engine(core, settings.boot_timeout)
        self._admission = admission = make_admission(core, settings)
        _ensure_administrator(core, settings)
        balancers = Balancers.parse(settings.trusted_proxies)
        try:
            tls = certificate.ensure(core.state_dir / "tls", listen=settings.listen)
            endpoints = make_endpoints(core, self._engine, admission.guard, settings)
            self._listeners = http.Listeners(endpoints, admission.authentication, tls, balancers)
            self._web = WebFrontend(core, self._engine, admission, settings, tls, balancers)
        except OSError as error:
            raise errors.OperationFailed(f"cannot listen on {settings.listen}: {error}") from error
        self._admin = AdminServer(core.state_dir, lambda who: LocalAdmin(core, who))

    def start(self) -> None:
        """Return when all listeners accept; the ready file is there then."""
        self._engine.start()
        if self._admission.directory:
            self._admission.directory.start()
        self._admin.start()
        self._listeners.start()
        self._web.start()
        if self._settings.ready_file:
            text = json.dumps(self._addresses())
            config.write_atomically(self._settings.ready_file, text, 0o644)

    def stop(self) -> None:
        """Close the listeners. Jobs and VMs are left as they are."""
        if self._settings.ready_file:
            self._settings.ready_file.unlink(missing_ok=True)
        self._web.stop()
        self._listeners.stop()

    def _addresses(self) -> dict[str, int | str]:
        """What the ready file says."""
        ready: dict[str, int | str] = {"pid": os.getpid(), "service": self._member}
        for name, urls in zip(PROTOCOLS, self._listeners.urls, strict=True):
            ready[f"{name}_http"], ready[f"{name}_https"] = urls
        return {**ready, "web": self._web.server.url, "rdp": self._web.relay.address}


def _ensure_administrator(core: Core, settings: config.ServeConfig) -> None:
    """Make the account of the options what they say, and record who has started the service."""
    password = read_password_file("admin-password-file", settings.admin_password_file)
    name = settings.admin_user
    who = local_name(os.geteuid())
    with AuditedChange(core.audit_log, who, "local", "serve", on={}, values={"name": name}):
        core.accounts.ensure_administrator(name, password)
