"""WS-Management and CIM-XML: the same namespaces behind two protocol servers."""

from __future__ import annotations

from importlib import metadata

from openrdms import config
from openrdms.app.core import Core
from openrdms.app.engine import Engine
from openrdms.cim.guard import Guard
from openrdms.cim.object_manager import Namespaces
from openrdms.frontends import http
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.frontends.wsman import service as wsman
from openrdms.frontends.wsman.server import WsmanServer
from openrdms.providers import rdms
from openrdms.providers.cimv2 import OperatingSystem, SessionDirectory
from openrdms.providers.interop import Server
from openrdms.providers.namespaces import make_namespaces
from openrdms.providers.openrdms import (
    HostProvider,
    PlannedServices,
    PlannerProvider,
    PoolProvider,
    PoolServices,
)
from openrdms.providers.terminal_services import HostManagement

PROTOCOLS = ("wsman", "cimxml")
"""As the ready file names them."""


def make_endpoints(
    core: Core, engine: Engine, guard: Guard, settings: config.ServeConfig
) -> list[http.Endpoint]:
    """In the order of ``PROTOCOLS``."""
    namespaces = _make_namespaces(core, engine, guard)
    mark = core.members.me[:8].upper()
    service = wsman.Service(namespaces, metadata.version("openrdms"), mark)
    return [
        http.Endpoint(
            WsmanServer(service),
            settings.listen,
            settings.wsman_http_port,
            settings.wsman_https_port,
        ),
        http.Endpoint(
            CimXmlServer(namespaces, mark),
            settings.listen,
            settings.cimxml_http_port,
            settings.cimxml_https_port,
        ),
    ]


def _make_namespaces(core: Core, engine: Engine, guard: Guard) -> Namespaces:
    services = engine.services
    pools = PoolServices(
        core.store,
        engine.pools,
        engine.watch,
        engine.brokering,
        engine.releasing,
        engine.sessions,
    )
    planned = PlannedServices(
        engine.provisioning,
        engine.patching,
        core.moving,
        engine.releasing,
        core.draining,
        services.collections,
    )
    return make_namespaces(
        rdms.make_providers(services),
        [OperatingSystem(), SessionDirectory(engine.sessions, services.collections)],
        [HostManagement(core.moving)],
        [
            HostProvider(core.host_states),
            PlannerProvider(planned),
            PoolProvider(pools),
        ],
        guard,
        Server(services.deployment.own_name, metadata.version("openrdms")),
    )
