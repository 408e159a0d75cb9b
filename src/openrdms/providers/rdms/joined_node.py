"""Win32_RDMSJoinedNode."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, get_number, get_text
from openrdms.services.nodes import Node, Nodes, Role


class JoinedNode(ServiceProvider):
    """The servers of the deployment."""

    cim_class = "Win32_RDMSJoinedNode"

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.methods = {"GetJoinedNodeCount": self._count}

    def do_list(self, where: Where) -> Iterable[Values]:
        return map(_render, self._nodes.list_nodes())

    def do_get(self, keys: Values) -> Values:
        return _render(self._nodes.get_node(get_text(keys, "FQDN")))

    def _count(self, call: Call) -> Values:
        return {"Count": self._nodes.count_nodes(get_number(call.parameters, "roleType"))}


def _render(node: Node) -> Values:
    """Linux servers have no SID; gateway, licensing and web access are not part of RDMS here."""
    return {
        "FQDN": node.fqdn,
        "SID": None,
        "OSVersion": node.os_version,
        "IsRdcb": Role.CONNECTION_BROKER in node.roles,
        "IsRdg": False,
        "IsRdls": False,
        "IsRdvh": Role.VIRTUALIZATION_HOST in node.roles,
        "IsRdwa": False,
        "IsRdsh": Role.SESSION_HOST in node.roles,
        "IsWebAccessCertificateInstalled": False,
        "IsGatewayCertificateInstalled": False,
        "IsRedirectorCertificateInstalled": False,
        "IsPublishingCertificateInstalled": False,
    }
