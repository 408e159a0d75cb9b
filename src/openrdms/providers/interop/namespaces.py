"""CIM_Namespace."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.providers.fixed_instances import FixedInstances
from openrdms.providers.interop.object_manager import Server
from openrdms.providers.service_provider import Where
from openrdms.providers.values import Values


class NamespaceProvider(FixedInstances):
    """Every namespace that is served."""

    cim_class = "CIM_Namespace"

    def __init__(self, server: Server, names: Iterable[str]) -> None:
        self._server = server
        self._names = tuple(names)

    def do_list(self, where: Where) -> Iterable[Values]:
        server = self._server.keys
        for name in self._names:
            yield {
                "SystemCreationClassName": server["SystemCreationClassName"],
                "SystemName": server["SystemName"],
                "ObjectManagerCreationClassName": server["CreationClassName"],
                "ObjectManagerName": server["Name"],
                "CreationClassName": self.cim_class,
                "Name": name,
            }
