"""Win32_RDSHServer."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.model.session_host import SessionHost
from openrdms.providers.property_methods import property_methods
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import (
    Values,
    find_text,
    get_number,
    get_text,
    parse_created,
    wanted_text,
)
from openrdms.services.session_hosts import SessionHosts

_FIELDS = {"Name": "name", "ConnectionBroker": "broker", "CollectionAlias": "collection"}


class RdshServer(ServiceProvider):
    """Session hosts. A server in no collection has the CollectionAlias "", and takes NULL too."""

    cim_class = "Win32_RDSHServer"

    def __init__(self, hosts: SessionHosts) -> None:
        self._hosts = hosts
        self.methods = property_methods(self._find_property, self._set_property) | {
            "GetPendingStartServerList": self._take_pending,
            "TestAndSetState": self._test_and_set_state,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        return map(_render, self._hosts.list_servers(wanted_text(where, "CollectionAlias")))

    def do_get(self, keys: Values) -> Values:
        return _render(self._hosts.get_server(get_text(keys, "Name")))

    def do_create(self, properties: Values) -> Values:
        fields = parse_created(properties, _FIELDS, ["Name"])
        self._hosts.create_server(**fields)
        return {"Name": fields["name"]}

    def do_modify(self, keys: Values, changes: Values) -> None:
        given = {_FIELDS[name]: find_text(changes, name) for name in changes}
        self._hosts.modify_server(get_text(keys, "Name"), **given)

    def do_delete(self, keys: Values) -> None:
        self._hosts.delete_server(get_text(keys, "Name"))

    def _find_property(self, keys: Values, key: str) -> object:
        return self._hosts.find_server_property(get_text(keys, "Name"), key)

    def _set_property(self, keys: Values, key: str, value: int | str) -> None:
        self._hosts.set_server_property(get_text(keys, "Name"), key, value)

    def _take_pending(self, call: Call) -> Values:
        """At most maxServers, so 0 takes none; what is handed out is not handed out again."""
        limit = get_number(call.parameters, "maxServers")
        return {"ServerFQDNs": list(self._hosts.take_pending_starts(limit))}

    def _test_and_set_state(self, call: Call) -> Values:
        """Success even when nothing is set: callers compare InitState with Comparand."""
        before = self._hosts.test_and_set_state(
            get_text(call.keys, "Name"),
            get_number(call.parameters, "Comparand"),
            get_number(call.parameters, "NewState"),
        )
        return {"InitState": int(before)}


def _render(server: SessionHost) -> Values:
    return {
        "Name": server.name,
        "ConnectionBroker": server.broker,
        "CollectionAlias": server.collection,
        "ServerState": int(server.state),
    }
