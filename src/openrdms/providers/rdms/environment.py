"""Win32_RDMSEnvironment."""

from __future__ import annotations

from openrdms.providers.service_provider import ServiceProvider
from openrdms.services.deployment import Deployment


class Environment(ServiceProvider):
    """Which broker manages the deployment."""

    cim_class = "Win32_RDMSEnvironment"

    def __init__(self, deployment: Deployment) -> None:
        self.methods = {"GetActiveServer": lambda _: {"ServerName": deployment.active_server()}}
