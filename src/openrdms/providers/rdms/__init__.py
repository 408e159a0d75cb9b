"""The classes of root/cimv2/rdms, one file for each that is offered."""

from __future__ import annotations

from openrdms.cim.provider import Provider
from openrdms.providers.rdms.collection_properties import CollectionProperties
from openrdms.providers.rdms.environment import Environment
from openrdms.providers.rdms.joined_node import JoinedNode
from openrdms.providers.rdms.virtual_desktop import VirtualDesktopProvider
from openrdms.providers.rdms.virtual_desktop_collection import VirtualDesktopCollection
from openrdms.providers.rdms.virtual_desktop_session import VirtualDesktopSession
from openrdms.providers.service_provider import ServiceProvider
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.desktops import Desktops
from openrdms.services.provisioning import Provisioning
from openrdms.services.sessions import Sessions

NOT_OFFERED = (
    "Win32_RDMSDeploymentSettings",
    "Win32_RDMSDesktopAssignment",
    "Win32_RDMSFileTypeAssociation",
    "Win32_RDMSManagementData",
    "Win32_RDMSPublishedApplication",
    "Win32_RDSHCollection",
    "Win32_RDSHServer",
)
"""Classes that are declared and answer "not supported" to everything."""


def make_providers(
    collections: Collections,
    desktops: Desktops,
    provisioning: Provisioning,
    sessions: Sessions,
    deployment: Deployment,
) -> dict[str, Provider]:
    """A provider for each of the 13 classes, by class name."""
    offered = (
        VirtualDesktopCollection(collections, provisioning),
        CollectionProperties(collections),
        VirtualDesktopProvider(desktops),
        VirtualDesktopSession(sessions),
        JoinedNode(deployment),
        Environment(deployment),
    )
    providers: dict[str, Provider] = {provider.cim_class: provider for provider in offered}
    for name in NOT_OFFERED:
        providers[name] = ServiceProvider()
        providers[name].cim_class = name
    return providers
