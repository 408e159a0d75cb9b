"""The web front end with what it is bound to, and the relay that RDP files of its lead to."""

from __future__ import annotations

import os
from dataclasses import dataclass

from openrdms import config
from openrdms.app.core import Core, now
from openrdms.app.engine import Engine
from openrdms.frontends import http
from openrdms.frontends.rdp.relay import RdpRelay
from openrdms.frontends.web.app import make_app
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.feed.access import FeedAccess
from openrdms.frontends.web.server import WebServer
from openrdms.model import errors
from openrdms.security.api_tokens import ApiTokens
from openrdms.security.certificate import Certificate, names_of
from openrdms.security.feed_cookie import FeedCookies
from openrdms.security.guard import PolicyGuard
from openrdms.security.negotiate import tls_server_end_point
from openrdms.security.rdp_signature import RdpSigner
from openrdms.security.rdp_token import RdpTokens
from openrdms.security.sign_in import SignIn
from openrdms.security.web_sessions import WebSessions
from openrdms.services.desktop_list import DesktopList
from openrdms.services.display_tickets import DisplayTickets
from openrdms.services.job_list import JobList
from openrdms.services.own_desktops import OwnDesktops
from openrdms.services.rdp_access import RdpAccess
from openrdms.services.rdp_files import RdpFiles, Server
from openrdms.services.repeated_requests import RepeatedRequests
from openrdms.services.tasks import Tasks
from openrdms.services.user_messages import UserMessages


@dataclass(frozen=True)
class Admission:
    """Who may come in, which all front ends of a service ask."""

    guard: PolicyGuard
    sign_in: SignIn
    authentication: http.Authentication


class WebFrontend:
    """Two listeners: the web port and the port of the RDP relay."""

    def __init__(
        self,
        core: Core,
        engine: Engine,
        admission: Admission,
        settings: config.ServeConfig,
        tls: Certificate,
    ) -> None:
        """Bind both. OSError when an address cannot be bound."""
        tls = _own_certificate(settings) or tls
        tokens = RdpTokens(core.store, now)
        self.relay = RdpRelay(
            RdpAccess(tokens, engine.brokering, engine.connections, core.hosts, core.audit_log),
            settings.listen,
            settings.rdp_port,
        )
        rdp_files = RdpFiles(
            core.access,
            engine.services.collections,
            core.publishing,
            engine.services.settings,
            engine.services.deployment,
            tokens,
            Server(names_of(tls.certificate), self.relay.port),
            RdpSigner.of(settings.rdp_cert, settings.rdp_key),
        )
        feed = FeedAccess(
            admission.authentication,
            FeedCookies(core.accounts, now),
            tls_server_end_point(tls.certificate),
        )
        backend = _make_backend(core, engine, admission, rdp_files, feed)
        self.server = WebServer(make_app(backend), settings.listen, settings.web_port, tls)

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


def _make_backend(
    core: Core,
    engine: Engine,
    admission: Admission,
    rdp_files: RdpFiles,
    feed: FeedAccess,
) -> Backend:
    services = engine.services
    desktop_list = DesktopList(core.store, core.hosts, core.health)
    messages = UserMessages(core.store, core.accounts, now, engine.changes.publish)
    engine.sessions.subscribe_to_messages(messages.note)
    web_sessions = WebSessions(core.store, core.accounts, now)
    web_sessions.subscribe(engine.connections.recheck)
    return Backend(
        state_dir=core.state_dir,
        guard=admission.guard,
        accounts=core.accounts,
        web_sessions=web_sessions,
        api_tokens=ApiTokens(core.store, core.accounts, now),
        sign_in=admission.sign_in,
        audit_log=core.audit_log,
        access=core.access,
        changes=engine.changes,
        collections=services.collections,
        desktops=services.desktops,
        desktop_list=desktop_list,
        uses=core.uses,
        provisioning=engine.provisioning,
        jobs=JobList(core.store),
        patching=engine.patching,
        sessions=engine.sessions,
        assignments=services.assignments,
        brokering=engine.brokering,
        display_tickets=DisplayTickets(core.store, core.hosts, now),
        connections=engine.connections,
        rdp_files=rdp_files,
        feed=feed,
        pools=engine.pools,
        watch=engine.watch,
        releasing=engine.releasing,
        publishing=core.publishing,
        own_desktops=OwnDesktops(
            core.store,
            core.hosts,
            core.publishing,
            engine.brokering,
            desktop_list,
            engine.run_states,
            engine.releasing,
        ),
        user_news=engine.user_news,
        user_messages=messages,
        images=core.images,
        installed_applications=core.installed_applications,
        image_diff=core.image_diff,
        image_removal=core.image_removal,
        tasks=Tasks(core.store, engine.changes, now),
        repeated_requests=RepeatedRequests(core.store, now),
        hosts=core.hosts,
        health=core.health,
        host_states=core.host_states,
        settings=services.settings,
        deployment=services.deployment,
        audit=core.audit,
    )
