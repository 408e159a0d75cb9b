"""What of a call may be written down, in the audit log and in the service's log.

Documents, messages, property values, passwords and connection strings may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from openrdms.cim.types import CimValue
from openrdms.model.audit import HIDDEN, JsonScalar, JsonValue

_HARMLESS = frozenset(
    {
        # of the interface
        *("Alias", "AppAlias", "ClientAccessName", "CollectionAlias", "Context", "DesktopName"),
        *("DirectoryPath", "DomainName", "ExportToLocation", "ExtName", "ForceLogOffTime", "FQDN"),
        *("JobGuid", "Key", "MachineName", "Name", "NodeFQDN", "NodeSID", "PoolName"),
        *(
            "ServerFQDNs",
            "ServerName",
            "StartTime",
            "UserDomain",
            "UserName",
            "VMHostName",
            "VMName",
        ),
        # of administration commands
        *("add_groups", "certificate_file", "file", "groups", "host", "name", "names"),
        *("remove_groups", "role", "settings", "variant", "vm"),
    }
)
"""What a call was about. Numbers and booleans tell no secrets, whatever they are called."""

_LONGEST = 500
"""Characters kept of any text."""


def disclose(values: Mapping[str, CimValue]) -> dict[str, JsonValue]:
    """Every name, with its value where that is harmless."""
    return {
        name: _plain(value) if value is None or _is_harmless(name, value) else HIDDEN
        for name, value in values.items()
    }


def disclose_known(values: Mapping[str, CimValue]) -> dict[str, JsonValue]:
    """Only what is harmless."""
    return {name: _plain(value) for name, value in values.items() if _is_harmless(name, value)}


def find_field(reason: str, names: Iterable[str]) -> str:
    """Which of ``names`` a refusal is about; "" for none. Its other words may quote values."""
    field = reason.partition(":")[0]
    return field if field in names else ""


def clean(text: str) -> str:
    """One line of printable characters; what is not is escaped, what is too long is cut."""
    printable = (
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[:_LONGEST]
    )
    return "".join(printable) + (HIDDEN if len(text) > _LONGEST else "")


def _is_harmless(name: str, value: CimValue) -> bool:
    return name in _HARMLESS or isinstance(value, bool | int)


def _plain(value: CimValue) -> JsonValue:
    if isinstance(value, list):
        return [_plain_scalar(item) for item in value]
    return _plain_scalar(value)


def _plain_scalar(value: object) -> JsonScalar:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return clean(str(value))
