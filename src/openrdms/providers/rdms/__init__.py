"""The classes of root/cimv2/rdms, one file for each that is offered."""

from __future__ import annotations

from dataclasses import dataclass

from openrdms.cim.provider import Provider
from openrdms.providers.rdms.collection_properties import CollectionProperties
from openrdms.providers.rdms.deployment_settings import DeploymentSettings
from openrdms.providers.rdms.desktop_assignment import DesktopAssignment
from openrdms.providers.rdms.environment import Environment
from openrdms.providers.rdms.file_type_association import FileTypeAssociation
from openrdms.providers.rdms.joined_node import JoinedNode
from openrdms.providers.rdms.management_data import ManagementData
from openrdms.providers.rdms.published_application import PublishedApplication
from openrdms.providers.rdms.rdsh_collection import RdshCollection
from openrdms.providers.rdms.rdsh_server import RdshServer
from openrdms.providers.rdms.virtual_desktop import VirtualDesktopProvider
from openrdms.providers.rdms.virtual_desktop_collection import VirtualDesktopCollection
from openrdms.providers.rdms.virtual_desktop_session import VirtualDesktopSession
from openrdms.services.assignments import Assignments
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.desktops import Desktops
from openrdms.services.nodes import Nodes
from openrdms.services.patching import Patching
from openrdms.services.provisioning import Provisioning
from openrdms.services.publishing import Publishing
from openrdms.services.session_hosts import SessionHosts
from openrdms.services.sessions import Sessions
from openrdms.services.settings import Settings


@dataclass(frozen=True)
class Services:
    """What the classes are bound to."""

    collections: Collections
    desktops: Desktops
    provisioning: Provisioning
    patching: Patching
    sessions: Sessions
    deployment: Deployment
    nodes: Nodes
    session_hosts: SessionHosts
    assignments: Assignments
    settings: Settings
    publishing: Publishing


def make_providers(services: Services) -> dict[str, Provider]:
    """A provider for each of the 13 classes, by class name."""
    offered = (
        VirtualDesktopCollection(services.collections, services.provisioning, services.patching),
        CollectionProperties(services.collections),
        VirtualDesktopProvider(services.desktops, services.sessions),
        VirtualDesktopSession(services.sessions),
        JoinedNode(services.nodes),
        Environment(services.deployment),
        DeploymentSettings(services.settings),
        DesktopAssignment(services.assignments),
        RdshCollection(services.session_hosts),
        RdshServer(services.session_hosts),
        PublishedApplication(services.publishing),
        FileTypeAssociation(services.publishing),
        ManagementData(services.publishing),
    )
    return {provider.cim_class: provider for provider in offered}
