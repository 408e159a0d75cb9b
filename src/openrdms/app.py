"""Composition root: what is built from what, and how the service starts and stops.

The service is crash-only: stopping it is closing its listeners and leaving, nothing else, so
that an orderly stop and kill -9 leave the same behind.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import queue
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import structlog
from structlog.typing import Processor

from openrdms import config, ports, runtime_dir
from openrdms.adapters import sql
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.adapters.node_probe import NodeProbe
from openrdms.cim.object_manager import Namespaces
from openrdms.frontends import http
from openrdms.frontends.admin.commands import LocalAdmin
from openrdms.frontends.admin.server import AdminServer, local_name
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.frontends.rdp.relay import RdpRelay
from openrdms.frontends.web.app import make_app
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.feed.access import FeedAccess
from openrdms.frontends.web.server import WebServer
from openrdms.frontends.wsman import service as wsman
from openrdms.frontends.wsman.server import WsmanServer
from openrdms.jobs.engine import JobEngine
from openrdms.jobs.tokens import Tokens
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.providers import rdms
from openrdms.providers.cimv2 import OperatingSystem, SessionDirectory
from openrdms.providers.interop import Server
from openrdms.providers.namespaces import make_namespaces
from openrdms.providers.openrdms import (
    HostProvider,
    PlannerProvider,
    PoolProvider,
    PoolServices,
)
from openrdms.security import certificate
from openrdms.security.accounts import Accounts
from openrdms.security.api_tokens import ApiTokens
from openrdms.security.audit_log import AuditLog
from openrdms.security.audited_change import AuditedChange
from openrdms.security.feed_cookie import FeedCookies
from openrdms.security.guard import PolicyGuard
from openrdms.security.lockout import Lockouts
from openrdms.security.negotiate import Negotiator, tls_server_end_point
from openrdms.security.passwords import read_password_file
from openrdms.security.rdp_signature import RdpSigner
from openrdms.security.rdp_token import RdpTokens
from openrdms.security.sign_in import SignIn
from openrdms.security.web_sessions import WebSessions
from openrdms.services.access import Access
from openrdms.services.assignments import Assignments
from openrdms.services.audit import Audit
from openrdms.services.brokering import Brokering, Parts
from openrdms.services.changes import Changes
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.desktop_list import DesktopList
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.desktops import Desktops
from openrdms.services.display_tickets import DisplayTickets
from openrdms.services.first_start import FirstStart
from openrdms.services.host_health import HostHealth
from openrdms.services.host_states import HostStates
from openrdms.services.hosts import Hosts
from openrdms.services.image_diff import ImageDiff
from openrdms.services.image_removal import ImageRemoval
from openrdms.services.images import Images
from openrdms.services.installed_applications import InstalledApplications
from openrdms.services.job_list import JobList
from openrdms.services.live_connections import LiveConnections
from openrdms.services.nodes import Nodes
from openrdms.services.own_desktops import OwnDesktops
from openrdms.services.patching import Patching
from openrdms.services.pools import Pools
from openrdms.services.preparation import Preparation
from openrdms.services.provisioning import Provisioning
from openrdms.services.provisioning.factors import ConcurrencyFactors
from openrdms.services.publishing import Publishing
from openrdms.services.rdp_access import RdpAccess
from openrdms.services.rdp_files import RdpFiles
from openrdms.services.rdp_files import Server as RdpServer
from openrdms.services.reconciling import Reconciling
from openrdms.services.releasing import Releasing
from openrdms.services.run_states import RunStates
from openrdms.services.session_hosts import SessionHosts
from openrdms.services.session_watch import SessionWatch
from openrdms.services.sessions import Sessions
from openrdms.services.settings import Directory, Settings
from openrdms.services.tasks import Tasks
from openrdms.services.user_messages import UserMessages
from openrdms.services.user_news import UserNews

_LOCK_SECONDS = 2.0
"""How long a killed service's children may keep its lock: they close it when they execute."""

_STOP_SECONDS = 2.0
"""What requests under way may take to end before the process does: well below the 5 s promised."""

SWITCH_SECONDS = 0.002
"""After which a busy thread lets another one go on. Each statement of SQLite gives the interpreter
away, and would wait 5 ms, Python's own interval, until it gets it back. Every thread that waits
wakes that often: with hundreds of them, less would cost more than it brings.
"""

_PROTOCOLS = ("wsman", "cimxml")
"""As the ready file names them."""

_log = structlog.get_logger(__name__)


def now() -> datetime:
    """The service's clock (ports.Clock)."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Core:
    """What a service needs and commands without one too. A state directory has one at a time."""

    state_dir: Path
    store: ports.Store
    hosts: Hosts
    health: HostHealth
    host_states: HostStates
    uses: DesktopUses
    tokens: Tokens
    reconciling: Reconciling
    images: Images
    image_diff: ImageDiff
    image_removal: ImageRemoval
    audit: Audit
    accounts: Accounts
    audit_log: AuditLog
    access: Access
    publishing: Publishing
    installed_applications: InstalledApplications


@contextmanager
def open_core(state_dir: Path, hypervisors: tuple[str, ...]) -> Iterator[Core]:
    """Open what a state directory holds, which must be held, and its hypervisors.

    InvalidParameter for a wrong URI, HostUnavailable, OperationFailed.
    """
    store = sql.open_store(f"sqlite:///{_own_file(state_dir / 'records.sqlite')}")
    hosts = Hosts(host for uri in hypervisors for host in _connect(uri, state_dir))
    health = HostHealth(hosts, now)
    uses = DesktopUses(store, now)
    tokens = Tokens(lambda host: hosts.get(host).slots, ConcurrencyFactors(store))
    images = Images(store, DebianImageTools(), state_dir / "images", now)
    images.register(image for host in hosts.all() for image in host.images())
    security_dir = state_dir / "security"
    security_dir.mkdir(mode=0o700, exist_ok=True)
    accounts = Accounts(store, security_dir / "nt-hashes", now)
    audit_log = AuditLog(store, security_dir / "audit-head", now)
    try:
        yield Core(
            state_dir=state_dir,
            store=store,
            hosts=hosts,
            health=health,
            host_states=HostStates(store, hosts, health, tokens.is_degraded),
            uses=uses,
            tokens=tokens,
            reconciling=Reconciling(store, hosts, health, uses, now),
            images=images,
            image_diff=ImageDiff(images, DebianImageTools()),
            image_removal=ImageRemoval(store, hosts, images),
            audit=Audit(store, hosts),
            accounts=accounts,
            audit_log=audit_log,
            access=Access(store, accounts),
            publishing=Publishing(store),
            installed_applications=InstalledApplications(store, hosts),
        )
    finally:
        health.close()
        hosts.close()
        store.close()


@contextmanager
def open_admin(state_dir: Path) -> Iterator[LocalAdmin]:
    """Administration of a state directory that no service runs on, with its last hypervisors."""
    try:
        hypervisors = config.recall_hypervisors(state_dir)
    except ValueError as error:
        raise errors.OperationFailed(str(error)) from error
    _log_to_stderr(logging.WARNING)
    with hold(state_dir), open_core(state_dir, hypervisors) as core:
        yield LocalAdmin(core, local_name(os.getuid()))


def _connect(uri: str, state_dir: Path) -> list[ports.Host]:
    """The hosts behind one URI. Only the adapter that is needed is loaded."""
    if urlsplit(uri).scheme == "simulator":
        from openrdms.adapters import simulator

        return [*simulator.connect(uri)]
    from openrdms.adapters.libvirt import host as libvirt

    return [libvirt.connect(uri, state_dir, runtime_dir.make_runtime_dir(state_dir))]


def _own_file(database: Path) -> Path:
    """The file, which nobody else may read: QEMU's account can pass through its directory."""
    database.touch(mode=0o600)
    return database


@contextmanager
def hold(state_dir: Path) -> Iterator[None]:
    """Keep every other process out of a state directory, made at first.

    The kernel lets go of it with this process. InvalidOperation when another one has it.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state_dir / "lock").open("a+") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                lock.seek(0)
                raise errors.InvalidOperation(
                    f"{state_dir} is in use by process {lock.read() or '?'}"
                )
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Service:
    """A running service over a core."""

    def __init__(self, core: Core, settings: config.ServeConfig) -> None:
        """Build all parts. OperationFailed when an address cannot be bound."""
        self._settings = settings
        self._changes = Changes()
        self._changes.follow(core.store, core.hosts, core.health)
        engine = JobEngine(_own_file(core.state_dir / "jobs.sqlite"))
        self._provisioning = Provisioning(
            core.store,
            core.hosts,
            core.health,
            core.images,
            core.uses,
            core.tokens,
            engine,
            now,
            core.state_dir / "staging",
            boot_deadline=settings.boot_timeout,
        )
        self._sessions = Sessions(core.store, core.hosts)
        self._sessions.subscribe(lambda vm: self._changes.publish(Kind.SESSION, [vm]))
        self._patching = Patching(
            core.store, self._provisioning, core.audit_log, self._sessions, now
        )
        self._health = core.health
        self._reconciling = core.reconciling
        self._publishing = core.publishing
        self._first_start = FirstStart(core.store, core.hosts)
        self._watch = SessionWatch(core.store, core.hosts, core.health, core.uses, now)
        self._pools = _make_pools(core, settings.boot_timeout)
        self._releasing = Releasing(core.store, core.hosts, core.uses)
        self._brokering = _make_brokering(core, self._watch, self._pools)
        self._connections = LiveConnections(core.store, core.uses, core.accounts, now)
        self._user_news = UserNews(core.store, self._brokering, core.uses, core.hosts)
        self._run_states = RunStates(core.store, core.hosts, core.uses, self._pools.prepare)
        self._guard = PolicyGuard(core.audit_log)
        self._lockouts = Lockouts()
        self._services = self._make_services(core)
        _ensure_administrator(core, settings)
        try:
            self._listen(core)
        except OSError as error:
            raise errors.OperationFailed(f"cannot listen on {settings.listen}: {error}") from error
        self._admin = AdminServer(core.state_dir, lambda who: LocalAdmin(core, who))

    def _listen(self, core: Core) -> None:
        """Bind all addresses. OSError."""
        settings = self._settings
        tls = certificate.ensure(core.state_dir / "tls", listen=settings.listen)
        web_tls = _web_certificate(settings) or tls
        authentication = self._authentication(core)
        self._listeners = http.Listeners(self._endpoints(core), authentication, tls)
        feed = FeedAccess(
            authentication,
            FeedCookies(core.accounts, now),
            tls_server_end_point(web_tls.certificate),
        )
        tokens = RdpTokens(core.store, now)
        access = RdpAccess(tokens, self._brokering, self._connections, core.hosts, core.audit_log)
        self._relay = RdpRelay(access, settings.listen, settings.rdp_port)
        backend = self._make_backend(core, self._make_rdp_files(core, tokens, web_tls), feed)
        self._web = WebServer(make_app(backend), settings.listen, settings.web_port, web_tls)

    def start(self) -> None:
        """Return when all listeners accept; the ready file is there then."""
        self._publishing.synchronize()  # records older than the feed have none
        self._health.start()
        self._reconciling.settle_uses()
        self._provisioning.resume()
        self._patching.start()
        self._reconciling.start()
        self._watch.start()
        self._pools.start()
        self._connections.start()
        self._user_news.start(self._changes.publish)
        self._first_start.start()
        self._admin.start()
        self._listeners.start()
        self._web.start()
        self._relay.start()
        if self._settings.ready_file:
            ready: dict[str, int | str] = {
                "pid": os.getpid(),
            }
            for name, urls in zip(_PROTOCOLS, self._listeners.urls, strict=True):
                ready[f"{name}_http"], ready[f"{name}_https"] = urls
            ready["web"] = self._web.url
            ready["rdp"] = self._relay.address
            config.write_atomically(self._settings.ready_file, json.dumps(ready), 0o644)

    def stop(self) -> None:
        """Close the listeners. Jobs and VMs are left as they are."""
        if self._settings.ready_file:
            self._settings.ready_file.unlink(missing_ok=True)
        self._web.stop()
        self._relay.stop()
        self._listeners.stop()

    def _endpoints(self, core: Core) -> list[http.Endpoint]:
        """In the order of ``_PROTOCOLS``."""
        settings = self._settings
        namespaces = self._namespaces(core)
        service = wsman.Service(namespaces, metadata.version("openrdms"))
        return [
            http.Endpoint(
                WsmanServer(service),
                settings.listen,
                settings.wsman_http_port,
                settings.wsman_https_port,
            ),
            http.Endpoint(
                CimXmlServer(namespaces),
                settings.listen,
                settings.cimxml_http_port,
                settings.cimxml_https_port,
            ),
        ]

    def _authentication(self, core: Core) -> http.Authentication:
        settings = self._settings
        return http.Authentication(
            core.accounts,
            self._lockouts,
            Negotiator(core.accounts, settings.keytab, settings.channel_binding),
            core.audit_log.record_refusal,
            allow_unencrypted=settings.allow_unencrypted,
        )

    def _make_services(self, core: Core) -> rdms.Services:
        collections = Collections(core.store, core.hosts, core.uses)
        collections.subscribe(self._pools.note_collection)
        collections.subscribe(self._watch.note_collection)
        deployment = Deployment(core.store)
        return rdms.Services(
            collections=collections,
            desktops=Desktops(core.store, core.hosts, core.health, self._run_states),
            provisioning=self._provisioning,
            patching=self._patching,
            sessions=self._sessions,
            deployment=deployment,
            nodes=Nodes(core.store, core.hosts, deployment.active_server(), NodeProbe()),
            session_hosts=SessionHosts(core.store, deployment),
            assignments=Assignments(core.store),
            settings=Settings(core.store, _directories(core.state_dir)),
            publishing=core.publishing,
        )

    def _namespaces(self, core: Core) -> Namespaces:
        services = self._services
        return make_namespaces(
            rdms.make_providers(services),
            [OperatingSystem(), SessionDirectory(self._sessions, services.collections)],
            [
                HostProvider(core.host_states),
                PlannerProvider(self._provisioning),
                PoolProvider(
                    PoolServices(
                        core.store,
                        self._pools,
                        self._watch,
                        self._brokering,
                        self._releasing,
                        self._sessions,
                    )
                ),
            ],
            self._guard,
            Server(services.deployment.active_server(), metadata.version("openrdms")),
        )

    def _make_rdp_files(
        self, core: Core, tokens: RdpTokens, web_tls: certificate.Certificate
    ) -> RdpFiles:
        return RdpFiles(
            core.access,
            self._services.collections,
            core.publishing,
            self._services.settings,
            self._services.deployment,
            tokens,
            RdpServer(certificate.names_of(web_tls.certificate), self._relay.port),
            RdpSigner.of(self._settings.rdp_cert, self._settings.rdp_key),
        )

    def _make_backend(self, core: Core, rdp_files: RdpFiles, feed: FeedAccess) -> Backend:
        services = self._services
        desktop_list = DesktopList(core.store, core.hosts, core.health)
        messages = UserMessages(core.store, core.accounts, now, self._changes.publish)
        self._sessions.subscribe_to_messages(messages.note)
        web_sessions = WebSessions(core.store, core.accounts, now)
        web_sessions.subscribe(self._connections.recheck)
        return Backend(
            state_dir=core.state_dir,
            guard=self._guard,
            accounts=core.accounts,
            web_sessions=web_sessions,
            api_tokens=ApiTokens(core.store, core.accounts, now),
            sign_in=SignIn(core.accounts, self._lockouts, core.audit_log.record_refusal),
            audit_log=core.audit_log,
            access=core.access,
            changes=self._changes,
            collections=services.collections,
            desktops=services.desktops,
            desktop_list=desktop_list,
            uses=core.uses,
            provisioning=self._provisioning,
            jobs=JobList(core.store),
            patching=self._patching,
            sessions=self._sessions,
            assignments=services.assignments,
            brokering=self._brokering,
            display_tickets=DisplayTickets(core.store, core.hosts, now),
            connections=self._connections,
            rdp_files=rdp_files,
            feed=feed,
            pools=self._pools,
            watch=self._watch,
            releasing=self._releasing,
            publishing=core.publishing,
            own_desktops=OwnDesktops(
                core.store,
                core.hosts,
                core.publishing,
                self._brokering,
                desktop_list,
                self._run_states,
                self._releasing,
            ),
            user_news=self._user_news,
            user_messages=messages,
            images=core.images,
            installed_applications=core.installed_applications,
            image_diff=core.image_diff,
            image_removal=core.image_removal,
            tasks=Tasks(core.store, self._changes, now),
            hosts=core.hosts,
            health=core.health,
            host_states=core.host_states,
            settings=services.settings,
            deployment=services.deployment,
            audit=core.audit,
        )


def _web_certificate(settings: config.ServeConfig) -> certificate.Certificate | None:
    """The one of the options. InvalidParameter when only half of it is named, or not readable."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    for option, file in (("tls-cert", settings.tls_cert), ("tls-key", settings.tls_key)):
        if file is None or not os.access(file, os.R_OK):
            raise errors.InvalidParameter(option, f"{file or 'missing'}: cannot be read")
    return certificate.Certificate(settings.tls_cert, settings.tls_key)  # type: ignore[arg-type]


def _make_pools(core: Core, boot_timeout: float) -> Pools:
    preparation = Preparation(
        core.store, core.hosts, core.images, core.uses, core.tokens, boot_timeout
    )
    pools = Pools(core.store, core.hosts, core.health, core.uses, preparation, now)
    core.host_states.subscribe(pools.note_settings)
    return pools


def _make_brokering(core: Core, watch: SessionWatch, pools: Pools) -> Brokering:
    return Brokering(
        Parts(
            core.store,
            core.hosts,
            core.uses,
            core.access,
            core.health,
            core.tokens,
            watch,
            pools,
            now,
        )
    )


def _directories(state_dir: Path) -> dict[Directory, Path]:
    """Where the service keeps things by itself."""
    images = state_dir / "images"
    return {
        Directory.BASE: images,
        Directory.DIFF: state_dir / "desktops",
        Directory.EXPORT: images,
    }


def _ensure_administrator(core: Core, settings: config.ServeConfig) -> None:
    """Make the account of the options what they say, and record who has started the service."""
    password = read_password_file("admin-password-file", settings.admin_password_file)
    name = settings.admin_user
    who = local_name(os.geteuid())
    with AuditedChange(core.audit_log, who, "local", "serve", on={}, values={"name": name}):
        core.accounts.ensure_administrator(name, password)


def serve(settings: config.ServeConfig) -> NoReturn:
    """Run the service in this process until SIGTERM or SIGINT, which end the process.

    RdmsError when it cannot start.
    """
    _log_to_stderr(logging.INFO)
    sys.setswitchinterval(SWITCH_SECONDS)
    _raise_file_limit()
    with hold(settings.state_dir):
        if settings.ready_file:
            _make_way(settings.ready_file)
        with open_core(settings.state_dir, settings.hypervisors) as core:
            config.remember_hypervisors(settings.state_dir, settings.hypervisors)
            _run_until_asked_to_end(Service(core, settings))
            os._exit(0)


def _raise_file_limit() -> None:
    """A thousand connections leave nothing to databases and guests within Debian's soft limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _run_until_asked_to_end(service: Service) -> None:
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):  # until here they just kill
        signal.signal(number, lambda received, _: asked.put(received))
    service.start()
    _log.info("ready")
    asked.get()
    _log.info("ending; jobs go on at the next start")
    threading.Timer(_STOP_SECONDS, os._exit, (0,)).start()
    service.stop()


def _make_way(ready_file: Path) -> None:
    """Remove the ready file of a service that was killed. InvalidParameter: no such directory."""
    if not ready_file.parent.is_dir():
        raise errors.InvalidParameter("--ready-file", f"{ready_file.parent} is no directory")
    ready_file.unlink(missing_ok=True)


def _log_to_stderr(level: int) -> None:
    """Lines for people on a terminal, JSON anywhere else. What libraries log goes the same way."""
    steps: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    people = sys.stderr.isatty()
    render = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*steps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=steps,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # says at each start what it is
