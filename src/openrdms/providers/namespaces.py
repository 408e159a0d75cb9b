"""The namespaces that are served, each with its schema and providers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from openrdms.cim.guard import Guard
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Provider
from openrdms.providers import schema
from openrdms.providers.interop import (
    ChildNamespaces,
    NamespaceProvider,
    NoProfiles,
    ObjectManagerProvider,
    Server,
)

_ALIASES = {"root/PG_InterOp": schema.INTEROP}
"""``interop`` is none: clients that find it first expect that namespace to be called so."""


def make_namespaces(
    rdms: Mapping[str, Provider],
    cimv2: Iterable[Provider],
    terminal_services: Iterable[Provider],
    openrdms: Iterable[Provider],
    guard: Guard,
    server: Server,
) -> Namespaces:
    """Providers by the last part of their namespace's name; one guard stands before all."""
    schemas = (
        schema.load_rdms(),
        schema.load_cimv2(),
        schema.load_terminal_services(),
        schema.load_openrdms(),
        schema.load_interop(),
        schema.load_root(),
    )
    names = [item.namespace for item in schemas]
    interop = (ObjectManagerProvider(server), NamespaceProvider(server, names), NoProfiles())
    providers = {
        schema.NAMESPACE: rdms,
        schema.CIMV2: _by_class(*cimv2, ChildNamespaces(schema.CIMV2, names)),
        schema.TERMINAL_SERVICES: _by_class(
            *terminal_services, ChildNamespaces(schema.TERMINAL_SERVICES, names)
        ),
        schema.OPENRDMS: _by_class(*openrdms, ChildNamespaces(schema.OPENRDMS, names)),
        schema.INTEROP: _by_class(*interop, ChildNamespaces(schema.INTEROP, names)),
        schema.ROOT: _by_class(ChildNamespaces(schema.ROOT, names)),
    }
    return Namespaces(
        [ObjectManager(item, providers[item.namespace], guard) for item in schemas], _ALIASES
    )


def _by_class(*providers: Provider) -> Mapping[str, Provider]:
    return {provider.cim_class: provider for provider in providers}
