"""Win32_RDMSVirtualDesktopCollection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.providers.property_methods import READING, property_methods
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import (
    Values,
    find_text,
    get_flag,
    get_number,
    get_text,
    get_time,
    parse_created,
    parse_fields,
    parse_icon,
    render_icon,
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
    finding = READING

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
        fields = _convert(parse_created(properties, _FIELDS, ("Alias", "Name", "Type")))
        collection = Collection(**({"is_managed": False} | fields))
        self._collections.create(collection)
        return {"Alias": collection.alias}

    def do_modify(self, keys: Values, changes: Values) -> None:
        fields = _convert(parse_fields(changes, _FIELDS, _NULLABLE))
        self._collections.modify(get_text(keys, "Alias"), **fields)

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
    values = {name: getattr(collection, field) for name, field in _FIELDS.items()}
    return values | {"Type": int(collection.type), "IconContents": render_icon(collection.icon)}


def _convert(fields: dict[str, Any]) -> dict[str, Any]:
    """Values of CIM as fields of Collection have them."""
    if "type" in fields:
        fields["type"] = _parse_type(fields["type"])
    if "icon" in fields:
        fields["icon"] = parse_icon(fields["icon"])
    return fields


def _parse_type(value: int) -> CollectionType:
    try:
        return CollectionType(value)
    except ValueError as error:
        raise errors.InvalidParameter("Type", f"{value} is not 1, 2 or 3") from error
