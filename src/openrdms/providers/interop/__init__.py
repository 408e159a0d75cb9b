"""What CIM clients look for before they look for anything else: namespaces and the server."""

from __future__ import annotations

from openrdms.providers.interop.child_namespaces import ChildNamespaces
from openrdms.providers.interop.namespaces import NamespaceProvider
from openrdms.providers.interop.object_manager import ObjectManagerProvider, Server
from openrdms.providers.interop.profiles import NoProfiles

__all__ = ["ChildNamespaces", "NamespaceProvider", "NoProfiles", "ObjectManagerProvider", "Server"]
