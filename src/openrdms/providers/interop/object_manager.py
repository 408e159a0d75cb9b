"""CIM_ObjectManager."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openrdms.providers.fixed_instances import FixedInstances
from openrdms.providers.service_provider import Where
from openrdms.providers.values import Values


@dataclass(frozen=True)
class Server:
    """This server: the name of its machine and the version of the product."""

    system: str
    version: str

    @property
    def keys(self) -> Values:
        """Of its CIM_ObjectManager."""
        return {
            "SystemCreationClassName": "CIM_ComputerSystem",
            "SystemName": self.system,
            "CreationClassName": "CIM_ObjectManager",
            "Name": "OpenRDMS",
        }


class ObjectManagerProvider(FixedInstances):
    """The server itself; clients read brand and version out of it."""

    cim_class = "CIM_ObjectManager"

    def __init__(self, server: Server) -> None:
        self._server = server

    def do_list(self, where: Where) -> Iterable[Values]:
        yield {
            **self._server.keys,
            "ElementName": "OpenRDMS",
            "Description": f"OpenRDMS CIM server version {self._server.version}",
            "Started": True,
        }
