"""The web front end with what it is bound to, and the relay that RDP files of its lead to."""

from __future__ import annotations

import os

from openrdms import config
from openrdms.app.admission import Admission
from openrdms.app.backend import make_backend
from openrdms.app.core import Core, now
from openrdms.app.engine import Engine
from openrdms.frontends.proxy_protocol import Balancers
from openrdms.frontends.rdp.relay import RdpRelay
from openrdms.frontends.web.app import make_app
from openrdms.frontends.web.feed.access import FeedAccess
from openrdms.frontends.web.server import WebServer
from openrdms.model import errors
from openrdms.model.rdp_token import RdpToken
from openrdms.security.certificate import Certificate, names_of
from openrdms.security.feed_cookie import FeedCookies
from openrdms.security.negotiate import tls_server_end_point
from openrdms.security.rdp_signature import RdpSigner
from openrdms.security.rdp_token import RdpTokens
from openrdms.security.seen import Seen
from openrdms.services.rdp_access import RdpAccess
from openrdms.services.rdp_files import RdpFiles
from openrdms.services.rdp_places import Parts, RdpPlaces, Relay


class WebFrontend:
    """Two listeners: the web port and the port of the RDP relay."""

    def __init__(
        self,
        core: Core,
        engine: Engine,
        admission: Admission,
        settings: config.ServeConfig,
        tls: Certificate,
        balancers: Balancers,
    ) -> None:
        """Bind both. OSError when an address cannot be bound."""
        tls = _own_certificate(settings) or tls
        tokens = _make_tokens(core)
        self.relay = RdpRelay(
            _make_rdp_access(core, engine, tokens),
            settings.listen,
            settings.rdp_port,
            balancers,
        )
        rdp_files = RdpFiles(
            core.access,
            core.publishing,
            engine.services.settings,
            _make_places(engine, tokens, Relay(names_of(tls.certificate), self.relay.port)),
            RdpSigner.of(settings.rdp_cert, settings.rdp_key),
        )
        feed = FeedAccess(
            admission.authentication,
            FeedCookies(core.accounts, now),
            tls_server_end_point(tls.certificate),
        )
        backend = make_backend(core, engine, admission, rdp_files, feed)
        app = make_app(backend)
        self.server = WebServer(app, settings.listen, settings.web_port, tls, balancers)

    def start(self) -> None:
        """Accept connections."""
        self.server.start()
        self.relay.start()

    def stop(self) -> None:
        """Stop accepting, and end what is connected."""
        self.server.stop()
        self.relay.stop()


def _own_certificate(settings: config.ServeConfig) -> Certificate | None:
    """The one of the options. InvalidParameter when only half of it is named, or not readable."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    for option, file in (("tls-cert", settings.tls_cert), ("tls-key", settings.tls_key)):
        if file is None or not os.access(file, os.R_OK):
            raise errors.InvalidParameter(option, f"{file or 'missing'}: cannot be read")
    return Certificate(settings.tls_cert, settings.tls_key)  # type: ignore[arg-type]


def _make_tokens(core: Core) -> RdpTokens:
    if not core.members.me:
        return RdpTokens(core.store, now)
    seen = Seen[RdpToken]()
    core.accounts.subscribe(seen.note_change)
    core.store.subscribe(seen.hear)
    return RdpTokens(core.store, now, seen)


def _make_rdp_access(core: Core, engine: Engine, tokens: RdpTokens) -> RdpAccess:
    return RdpAccess(
        tokens,
        engine.brokering,
        engine.connections,
        core.hosts,
        core.audit_log,
        engine.local_copy,
        engine.late_records,
    )


def _make_places(engine: Engine, tokens: RdpTokens, relay: Relay) -> RdpPlaces:
    services = engine.services
    parts = Parts(
        services.collections,
        services.session_hosts,
        services.assignments,
        services.settings,
        services.deployment,
        tokens,
    )
    return RdpPlaces(parts, relay)
