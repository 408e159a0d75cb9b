"""Win32_RDVHManagement, of root/cimv2/terminalservices."""

from __future__ import annotations

from openrdms.providers.service_provider import Call, ServiceProvider
from openrdms.providers.values import get_text
from openrdms.services.moving_desktops import MovingDesktops


class HostManagement(ServiceProvider):
    """Static methods and no instances."""

    cim_class = "Win32_RDVHManagement"

    def __init__(self, moving: MovingDesktops) -> None:
        self._moving = moving
        self.methods = {"RdvMigrateVmToDifferentHost": self._migrate}

    def _migrate(self, call: Call) -> None:
        destination = get_text(call.parameters, "DestinationHost")
        self._moving.move(get_text(call.parameters, "VmName"), destination)
