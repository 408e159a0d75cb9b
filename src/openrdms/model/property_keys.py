"""Keys of the Set…Property methods: one table a class (facts b.1 to b.4).

Not every key that clients use is known, so an unknown one is taken as it comes; a known one
takes values of its type and range only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from openrdms.model.errors import InvalidOperation, InvalidParameter

Check = Callable[[Any], str]
"""Says why a value is refused; "" when it is not."""


@dataclass(frozen=True)
class PropertyKey:
    """A known key. What is ``read_only`` this service writes itself."""

    name: str
    kind: type[int] | type[str]
    check: Check
    read_only: bool = False


class PropertyKeys:
    """The known keys of a class, found ignoring case."""

    def __init__(self, keys: Iterable[PropertyKey]) -> None:
        self._keys = {key.name.casefold(): key for key in keys}

    def find(self, key: str) -> PropertyKey | None:
        """None when it is not known. InvalidParameter when it is no key at all."""
        if not key:
            raise InvalidParameter("Key", "is empty")
        return self._keys.get(key.casefold())

    def check_change(self, key: str, value: int | str) -> None:
        """InvalidParameter naming Key or Value; InvalidOperation when the key is read-only."""
        known = self.find(key)
        if known is None:
            return
        if known.read_only:
            raise InvalidOperation(f"Key: {known.name} is read-only")
        if not isinstance(value, known.kind):
            kind = "number" if known.kind is int else "string"
            raise InvalidParameter("Key", f"{known.name} takes a {kind}")
        reason = known.check(value)
        if reason:
            raise InvalidParameter("Value", f"{known.name}: {reason}")


def _number(name: str, allowed: Container[int], *, read_only: bool = False) -> PropertyKey:
    def check(value: int) -> str:
        return "" if value in allowed else f"{value} is not in {_render(allowed)}"

    return PropertyKey(name, int, check, read_only)


def _text(name: str, check: Check = lambda _: "", *, read_only: bool = False) -> PropertyKey:
    return PropertyKey(name, str, check, read_only)


def _render(allowed: Container[int]) -> str:
    if isinstance(allowed, range):
        return f"{allowed.start} to {allowed.stop - 1}"
    return f"{allowed}"


_FLAG = range(2)
_NOT_NEGATIVE = range(2**31)
_REDIRECTIONS = range(512)
"""Any of the flags of facts c.6."""
_MONITORS = range(1, 17)
_GIGABYTE_IN_MB = 1024
_HOST_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_FQDN = re.compile(rf"(?=.{{3,254}}\Z){_HOST_LABEL}(\.{_HOST_LABEL})+")


def _check_fqdn(value: str) -> str:
    """Empty is fine: it is how clients say "none"."""
    return "" if not value or _FQDN.fullmatch(value) else f"{value!r} is not a full host name"


def _check_unc(value: str) -> str:
    return "" if not value or re.match(r"\\\\[^\\]+\\[^\\]", value) else f"{value!r} is no share"


VIRTUAL_DESKTOP_COLLECTION = PropertyKeys(
    [
        _number("CollectionState", _NOT_NEGATIVE, read_only=True),
        _text("ProvisioningJobId", read_only=True),
        _text("ExportInProgress"),
        _number("DeviceRedirectionOptions", _REDIRECTIONS),
        _number("MaxMonitors", _MONITORS),  # clients read anything above 1 as "all"
        _number("RedirectClientPrinter", _FLAG),
    ]
)

DEPLOYMENT = PropertyKeys(
    [
        _number("DeploymentGatewayUsage", range(4)),
        _text("DeploymentGatewayName", _check_fqdn),
        _number("DeploymentGatewayAuthMode", (0, 1, 4)),
        _number("DeploymentGatewayUseCachedCreds", _FLAG),
        _text("DeploymentExternalGatewayName", _check_fqdn),
        _text("DatabaseConnectionString"),
        _text("DatabaseSecondaryConnectionString"),
        _text("DeploymentRedirectorServer", _check_fqdn),
    ]
)

SESSION_COLLECTION = PropertyKeys(
    [
        _text("SecurityDescriptor"),
        _text("UserPolicyXML"),
        _text("UserVHDShare", _check_unc),
        _number("IsUserVHDEnabled", _FLAG),
        _number("DiskSizeInMB", range(_GIGABYTE_IN_MB, 9999 * _GIGABYTE_IN_MB + 1)),
        # milliseconds, 0 for none
        _number("DisconnectedSessionLimit", _NOT_NEGATIVE),
        _number("ActiveSessionLimit", _NOT_NEGATIVE),
        _number("IdleSessionLimit", _NOT_NEGATIVE),
        _number("BrokenConnectionAction", range(3)),
        _number("DeleteTempFoldersOnExit", _FLAG),
        _number("EnableAutomaticReconnection", _FLAG),
        _number("UseTempFoldersPerSession", _FLAG),
        _number("AuthenticateUsingNLA", _FLAG),
        _number("EncryptionLevel", range(5)),
        _number("SecurityLayer", range(3)),
        _number("MaxMonitors", _MONITORS),
        _number("RedirectClientPrinter", _FLAG),
        _number("UseRDEasyPrintDriver", _FLAG),
        _number("SetClientPrinterAsDefault", _FLAG),
        _number("DeviceRedirectionOptions", _REDIRECTIONS),
        _number("IsUserAdmin", _FLAG),
    ]
)

SESSION_HOST = PropertyKeys(
    [
        _number("DrainMode", range(3)),
        _number("RelativeWeight", _NOT_NEGATIVE),
        _number("SessionLimit", _NOT_NEGATIVE),
    ]
)
