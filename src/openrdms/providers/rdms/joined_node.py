"""Win32_RDMSJoinedNode."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.model.node import Node
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, find_text, get_number, get_text, parse_fields
from openrdms.services.nodes import Nodes

_FIELDS = {
    "OSVersion": "os_version",
    "IsRdcb": "is_broker",
    "IsRdg": "is_gateway",
    "IsRdls": "is_licensing",
    "IsRdvh": "is_vm_host",
    "IsRdwa": "is_web_access",
    "IsRdsh": "is_session_host",
    "IsWebAccessCertificateInstalled": "web_access_certificate",
    "IsGatewayCertificateInstalled": "gateway_certificate",
    "IsRedirectorCertificateInstalled": "redirector_certificate",
    "IsPublishingCertificateInstalled": "publishing_certificate",
}


class JoinedNode(ServiceProvider):
    """The servers of the deployment."""

    cim_class = "Win32_RDMSJoinedNode"

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.methods = {
            "Join": self._join,
            "Unjoin": lambda call: self._nodes.unjoin(get_text(call.keys, "FQDN")),
            "GetJoinedNodeCount": self._count,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        return map(_render, self._nodes.list_nodes())

    def do_get(self, keys: Values) -> Values:
        return _render(self._nodes.get_node(get_text(keys, "FQDN")))

    def do_modify(self, keys: Values, changes: Values) -> None:
        fields = parse_fields(changes, _FIELDS, {"OSVersion"})
        named = {field: (name, fields[field]) for name, field in _FIELDS.items() if field in fields}
        self._nodes.modify(get_text(keys, "FQDN"), named)

    def _join(self, call: Call) -> None:
        sid = find_text(call.parameters, "NodeSID")
        self._nodes.join(get_text(call.parameters, "NodeFQDN"), sid)

    def _count(self, call: Call) -> Values:
        return {"Count": self._nodes.count_nodes(get_number(call.parameters, "roleType"))}


def _render(node: Node) -> Values:
    flags = {name: getattr(node, field) for name, field in _FIELDS.items()}
    return {"FQDN": node.fqdn, "SID": node.sid, **flags}
