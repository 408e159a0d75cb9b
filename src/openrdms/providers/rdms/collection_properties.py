"""Win32_RDMSCollectionProperties: instances come and go with the collection (facts a.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openrdms.model import errors
from openrdms.model.collection import NO_DOMAIN
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, get_text
from openrdms.services.collections import Collections

_PREFIX = "ReferenceVirtualDesktop"
_FIELDS = {
    f"{_PREFIX}Name": "name",
    f"{_PREFIX}MachineName": "machine_name",
    f"{_PREFIX}Host": "host",
    f"{_PREFIX}Guid": "guid",
    f"{_PREFIX}Osversion": "os_version",
    f"{_PREFIX}RamsizeMB": "ram_mib",
    f"{_PREFIX}Architecture": "architecture",
    f"{_PREFIX}RemoteFX": "remote_fx",
    f"{_PREFIX}Adapters": "adapters",
}


class CollectionProperties(ServiceProvider):
    """What a collection keeps about its reference desktop and its Create job."""

    cim_class = "Win32_RDMSCollectionProperties"

    def __init__(self, collections: Collections) -> None:
        self._collections = collections
        self.methods = {"GetProvisioningProperties": self._get_provisioning_properties}

    def do_list(self, where: Where) -> Iterable[Values]:
        return [self._render(one.alias) for one in self._collections.list_collections()]

    def do_get(self, keys: Values) -> Values:
        return self._render(self._collections.get(get_text(keys, "Alias")).alias)

    def do_modify(self, keys: Values, changes: Values) -> None:
        fields: dict[str, Any] = {_FIELDS[name]: value for name, value in changes.items()}
        if fields.get("remote_fx", False) is None:
            raise errors.InvalidParameter(f"{_PREFIX}RemoteFX", "cannot be NULL")
        if fields.get("adapters") is not None:
            fields["adapters"] = _parse_adapters(fields["adapters"])
        self._collections.modify_reference(get_text(keys, "Alias"), **fields)

    def _render(self, alias: str) -> Values:
        reference = self._collections.get_reference(alias)
        values = {name: getattr(reference, field) for name, field in _FIELDS.items()}
        if reference.adapters is not None:
            values[f"{_PREFIX}Adapters"] = list(reference.adapters)
        return {"Alias": alias} | values

    def _get_provisioning_properties(self, call: Call) -> Values:
        settings = self._collections.get_provisioning(get_text(call.keys, "Alias"))
        return {
            "PoolVhdType": settings.vhd_type,
            "MasterVmLocation": settings.base_vm_location,
            "NamePrefix": settings.name_prefix,
            "NameStartIndex": settings.name_start_index,
            "LocalVmLocation": settings.local_vm_location,
            "LocalGoldVmLocation": settings.local_gold_location,
            "RunFromSMB": settings.run_from_smb,
            "SMBLocation": settings.smb_location,
            "SMBStreaming": settings.smb_streaming,
            "VmDomain": settings.domain or NO_DOMAIN,
            "VmOU": settings.ou,
            "ProductKey": None,
        }


def _parse_adapters(value: list[str | None]) -> tuple[str, ...]:
    if None in value:
        raise errors.InvalidParameter(f"{_PREFIX}Adapters", "holds NULL")
    return tuple(name for name in value if name is not None)
