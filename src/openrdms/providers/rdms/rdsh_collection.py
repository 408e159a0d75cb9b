"""Win32_RDSHCollection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openrdms.model import errors
from openrdms.model.session_host import SessionCollection, SessionCollectionType
from openrdms.providers.property_methods import never_set, property_methods
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, get_text, parse_created, parse_fields
from openrdms.services.session_hosts import SessionHosts

_FIELDS = {"Alias": "alias", "Name": "name", "Description": "description", "Type": "type"}


class RdshCollection(ServiceProvider):
    """Collections of session hosts."""

    cim_class = "Win32_RDSHCollection"

    def __init__(self, hosts: SessionHosts) -> None:
        self._hosts = hosts
        self.methods = property_methods(self._find_property, self._set_property) | {
            "KeyValueGet": self._get_pair,
            "KeyValueCompareAndSet": self._compare_and_set_pair,
            "KeyValueDelete": self._delete_pair,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        return map(_render, self._hosts.list_collections())

    def do_get(self, keys: Values) -> Values:
        return _render(self._hosts.get_collection(get_text(keys, "Alias")))

    def do_create(self, properties: Values) -> Values:
        fields = parse_created(properties, _FIELDS, ("Alias", "Name"))
        collection = SessionCollection(**_convert(fields))
        self._hosts.create_collection(collection)
        return {"Alias": collection.alias}

    def do_modify(self, keys: Values, changes: Values) -> None:
        fields = parse_fields(changes, _FIELDS, ("Description", "Type"))
        self._hosts.modify_collection(get_text(keys, "Alias"), **_convert(fields))

    def do_delete(self, keys: Values) -> None:
        self._hosts.delete_collection(get_text(keys, "Alias"))

    def _find_property(self, keys: Values, key: str) -> object:
        return self._hosts.find_collection_property(get_text(keys, "Alias"), key)

    def _set_property(self, keys: Values, key: str, value: int | str) -> None:
        self._hosts.set_collection_property(get_text(keys, "Alias"), key, value)

    def _get_pair(self, call: Call) -> Values:
        key = get_text(call.parameters, "Key")
        value = self._hosts.find_pair(get_text(call.keys, "Alias"), key)
        if value is None:
            raise never_set(f"Key: {key!r}", "a value")
        return {"Value": value}

    def _compare_and_set_pair(self, call: Call) -> Values:
        """A NULL Comparand equals no value, so that the key is set only when it is absent."""
        comparand = call.parameters["Comparand"]
        initial = self._hosts.compare_and_set_pair(
            get_text(call.keys, "Alias"),
            get_text(call.parameters, "Key"),
            None if comparand is None else get_text(call.parameters, "Comparand"),
            get_text(call.parameters, "NewValue"),
        )
        return {"InitialValue": initial}

    def _delete_pair(self, call: Call) -> None:
        key = get_text(call.parameters, "Key")
        self._hosts.delete_pair(get_text(call.keys, "Alias"), key)


def _render(collection: SessionCollection) -> Values:
    return {
        "Alias": collection.alias,
        "Name": collection.name,
        "Description": collection.description,
        "Type": int(collection.type),
    }


def _convert(fields: dict[str, Any]) -> dict[str, Any]:
    """With the type as one of ours; NULL is pooled (facts b.3)."""
    if "type" not in fields:
        return fields
    number = fields["type"] or 0
    try:
        return fields | {"type": SessionCollectionType(number)}
    except ValueError as error:
        raise errors.InvalidParameter("Type", f"{number} is not 0, 4 or 5") from error
