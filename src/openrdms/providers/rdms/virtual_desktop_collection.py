"""Win32_RDMSVirtualDesktopCollection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openrdms.cim.types import CimValue
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.providers.property_methods import property_methods
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import (
    Values,
    find_text,
    get_flag,
    get_number,
    get_text,
    get_time,
)
from openrdms.services.collections import Collections
from openrdms.services.patching import Patching
from openrdms.services.provisioning import Provisioning

_FIELDS = {
    "Alias": "alias",
    "Type": "type",
    "IsManaged": "is_managed",
    "Name": "name",
    "CollectionDescription": "description",
    "SecurityDescriptor": "security_descriptor",
    "VmFarmSettings": "vm_farm_settings",
    "UserVHDSetting": "user_vhd_setting",
    "IconContents": "icon",
    "ShowInPortal": "show_in_portal",
    "IsHA": "is_ha",
    "IsUserAdmin": "is_user_admin",
    "RollbackEnabled": "rollback_enabled",
}
_NULLABLE = frozenset(
    {
        "CollectionDescription",
        "SecurityDescriptor",
        "VmFarmSettings",
        "UserVHDSetting",
        "IconContents",
    }
)
_RUNNING, _COMPLETED = 0, 1
"""JobType of ProvisioningEnumerateJobs."""


class VirtualDesktopCollection(ServiceProvider):
    """Collections are instances; provisioning jobs are static methods."""

    cim_class = "Win32_RDMSVirtualDesktopCollection"

    def __init__(
        self, collections: Collections, provisioning: Provisioning, patching: Patching
    ) -> None:
        self._collections = collections
        self._provisioning = provisioning
        self._patching = patching
        self.methods = property_methods(self._find_property, self._set_property) | {
            "AddVirtualDesktop": self._add_virtual_desktop,
            "RemoveVirtualDesktop": self._remove_virtual_desktop,
            "ProvisioningJobExecute": self._execute,
            "ProvisioningPrepJob": self._prepare,
            "ProvisioningJobCancel": self._cancel,
            "ProvisioningJobGetReport": self._report,
            "ProvisioningEnumerateJobs": self._list_jobs,
            "SchedulePatch": self._schedule_patch,
            "CancelPatch": lambda call: self._patching.cancel(get_text(call.keys, "Alias")),
            "GetPatchProperties": self._get_patch,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        return map(_render, self._collections.list_collections())

    def do_get(self, keys: Values) -> Values:
        return _render(self._collections.get(get_text(keys, "Alias")))

    def do_create(self, properties: Values) -> Values:
        given = {name: value for name, value in properties.items() if value is not None}
        for name in ("Alias", "Name", "Type"):
            if name not in given:
                raise errors.InvalidParameter(name, "is needed")
        collection = Collection(**({"is_managed": False} | _parse(given)))
        self._collections.create(collection)
        return {"Alias": collection.alias}

    def do_modify(self, keys: Values, changes: Values) -> None:
        self._collections.modify(get_text(keys, "Alias"), **_parse(changes))

    def do_delete(self, keys: Values) -> None:
        self._collections.delete(get_text(keys, "Alias"))

    def _add_virtual_desktop(self, call: Call) -> None:
        vm = get_text(call.parameters, "VMName")
        self._collections.add_virtual_desktop(get_text(call.keys, "Alias"), vm)

    def _remove_virtual_desktop(self, call: Call) -> None:
        vm = get_text(call.parameters, "VMName")
        self._collections.remove_virtual_desktop(get_text(call.keys, "Alias"), vm)

    def _find_property(self, keys: Values, key: str) -> object:
        return self._collections.find_property(get_text(keys, "Alias"), key)

    def _set_property(self, keys: Values, key: str, value: int | str) -> None:
        self._collections.set_property(get_text(keys, "Alias"), key, value)

    def _execute(self, call: Call) -> Values:
        document = get_text(call.parameters, "JobInputXml")
        return {"JobGuid": self._provisioning.execute(document)}

    def _prepare(self, call: Call) -> Values:
        given = call.parameters
        guid = self._provisioning.prepare(
            collection=find_text(given, "CollectionAlias"),
            host=get_text(given, "VMHostName"),
            vm=get_text(given, "VMName"),
            export_to=get_text(given, "ExportToLocation"),
            sysprep=get_flag(given, "bSysPrep"),
            machine=find_text(given, "MachineName"),
            user=find_text(given, "UserName"),
            password=find_text(given, "Password"),
        )
        return {"JobGuid": guid}

    def _cancel(self, call: Call) -> None:
        self._provisioning.cancel(get_text(call.parameters, "JobGuid"))

    def _report(self, call: Call) -> Values:
        guid = get_text(call.parameters, "JobGuid")
        return {"JobReportXml": self._provisioning.report(guid)}

    def _list_jobs(self, call: Call) -> Values:
        """An empty alias means every collection (facts c.4)."""
        kind = get_number(call.parameters, "JobType")
        if kind not in (_RUNNING, _COMPLETED):
            raise errors.InvalidParameter("JobType", f"{kind} is neither 0 nor 1")
        alias = find_text(call.parameters, "CollectionAlias") or None
        guids = self._provisioning.list_guids(running=kind == _RUNNING, collection=alias)
        return {"JobGuids": list(guids)}

    def _schedule_patch(self, call: Call) -> None:
        self._patching.schedule(
            get_text(call.keys, "Alias"),
            get_time(call.parameters, "StartTime"),
            get_time(call.parameters, "ForceLogOffTime"),
            get_text(call.parameters, "JobInputXml"),
        )

    def _get_patch(self, call: Call) -> Values:
        """Of the last update there was, scheduled or not; without one it is refused."""
        alias = get_text(call.keys, "Alias")
        patch = self._patching.find(alias)
        if patch is None:
            raise errors.NotFound(f"collection {alias!r} was never updated")
        return {
            "StartTime": patch.start,
            "ForceLogOffTime": patch.force_log_off,
            "JobGuid": patch.guid,
            "State": int(patch.state),
        }


def _render(collection: Collection) -> Values:
    return {name: _value(getattr(collection, field)) for name, field in _FIELDS.items()}


def _value(value: Any) -> CimValue:
    if isinstance(value, CollectionType):
        return int(value)
    return list(value) if isinstance(value, bytes) else value


def _parse(properties: Values) -> dict[str, Any]:
    """Fields of Collection from CIM properties."""
    for name, value in properties.items():
        if value is None and name not in _NULLABLE:
            raise errors.InvalidParameter(name, "cannot be NULL")
    fields: dict[str, Any] = {_FIELDS[name]: value for name, value in properties.items()}
    if "type" in fields:
        fields["type"] = _parse_type(fields["type"])
    if fields.get("icon") is not None:
        fields["icon"] = _parse_icon(fields["icon"])
    return fields


def _parse_type(value: int) -> CollectionType:
    try:
        return CollectionType(value)
    except ValueError as error:
        raise errors.InvalidParameter("Type", f"{value} is not 1, 2 or 3") from error


def _parse_icon(value: list[int | None]) -> bytes:
    if any(byte is None for byte in value):
        raise errors.InvalidParameter("IconContents", "holds NULL")
    return bytes(byte for byte in value if byte is not None)
