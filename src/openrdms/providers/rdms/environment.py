"""Win32_RDMSEnvironment."""

from __future__ import annotations

from openrdms.providers.service_provider import Call, ServiceProvider
from openrdms.providers.values import get_text
from openrdms.services.deployment import Deployment


class Environment(ServiceProvider):
    """Which broker manages the deployment, and by what name clients reach it."""

    cim_class = "Win32_RDMSEnvironment"

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.methods = {
            "GetActiveServer": lambda _: {"ServerName": deployment.active_server()},
            "SetActiveServer": lambda _: deployment.activate(),
            "GetClientAccessName": lambda _: {"ClientAccessName": deployment.client_access_name()},
            "SetClientAccessName": self._set_client_access_name,
        }

    def _set_client_access_name(self, call: Call) -> None:
        self._deployment.set_client_access_name(get_text(call.parameters, "ClientAccessName"))
