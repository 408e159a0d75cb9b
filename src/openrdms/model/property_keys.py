"""Keys of the Set…Property methods: one table a class (facts b.1 to b.4).

Not every key that clients use is known, so an unknown one is taken as it comes; a known one
takes values of its type and range only.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from openrdms.model import farm_settings, host_name, rdp_file, sddl, shadow
from openrdms.model.errors import InvalidOperation, InvalidParameter

_MAX_KEY = 256

Accept = Callable[[Any], Any]
"""A value as it is kept. ValueError says why it is refused."""


@dataclass(frozen=True)
class PropertyKey:
    """A known key. What is ``read_only`` this service writes itself."""

    name: str
    kind: type[int] | type[str]
    accept: Accept
    read_only: bool = False


class PropertyKeys:
    """The known keys of a class, found ignoring case."""

    def __init__(self, keys: Iterable[PropertyKey]) -> None:
        self._keys = {key.name.casefold(): key for key in keys}

    def find(self, key: str) -> PropertyKey | None:
        """None when it is not known. InvalidParameter when it is no key at all."""
        if not 0 < len(key) <= _MAX_KEY:
            raise InvalidParameter("Key", f"is empty or longer than {_MAX_KEY} characters")
        return self._keys.get(key.casefold())

    @property
    def names(self) -> list[str]:
        """As they are written."""
        return [key.name for key in self._keys.values()]

    def accept_change(self, key: str, value: int | str) -> int | str:
        """The value to keep, which is the one given but for security descriptors (see sddl).

        InvalidParameter naming Key or Value; InvalidOperation when the key is read-only.
        """
        known = self.find(key)
        if known is None:
            return value
        if known.read_only:
            raise InvalidOperation(f"Key: {known.name} is read-only")
        if not isinstance(value, known.kind):
            kind = "number" if known.kind is int else "string"
            raise InvalidParameter("Key", f"{known.name} takes a {kind}")
        try:
            return known.accept(value)  # type: ignore[no-any-return]
        except ValueError as error:
            raise InvalidParameter("Value", f"{known.name}: {error}") from error


def _number(name: str, allowed: Container[int], *, read_only: bool = False) -> PropertyKey:
    def accept(value: int) -> int:
        if value not in allowed:
            raise ValueError(f"{value} is not {_render(allowed)}")
        return value

    return PropertyKey(name, int, accept, read_only)


def _text(name: str, accept: Accept = str, *, read_only: bool = False) -> PropertyKey:
    return PropertyKey(name, str, accept, read_only)


def _render(allowed: Container[int]) -> str:
    if isinstance(allowed, range):
        return f"{allowed.start} to {allowed.stop - 1}"
    return f"one of {allowed}"


def _accept_host(value: str) -> str:
    """Empty is fine: it is how clients say "none"."""
    if value and not host_name.is_full_name(value):
        raise ValueError(f"{value!r} is not a full host name")
    return value


_FLAG = range(2)
_NOT_NEGATIVE = range(2**31)
_REDIRECTIONS = range(512)
"""Any of the flags of facts c.6."""
_MONITORS = range(1, 17)
_DISK_MB = range(farm_settings.MIN_DISK >> 20, (farm_settings.MAX_DISK >> 20) + 1)

VIRTUAL_DESKTOP_COLLECTION = PropertyKeys(
    [
        _number("CollectionState", _NOT_NEGATIVE, read_only=True),
        _text("ProvisioningJobId", read_only=True),
        _text("ExportInProgress"),
        _number("DeviceRedirectionOptions", _REDIRECTIONS),
        _number("MaxMonitors", _MONITORS),  # clients read anything above 1 as "all"
        _number("RedirectClientPrinter", _FLAG),
        _text("CustomRdpProperty", rdp_file.accept_custom),
    ]
)

DEPLOYMENT = PropertyKeys(
    [
        _number("DeploymentGatewayUsage", range(4)),
        _text("DeploymentGatewayName", _accept_host),
        _number("DeploymentGatewayAuthMode", (0, 1, 4)),
        _number("DeploymentGatewayUseCachedCreds", _FLAG),
        _text("DeploymentExternalGatewayName", _accept_host),
        _text("DatabaseConnectionString"),
        _text("DatabaseSecondaryConnectionString"),
        _text("DeploymentRedirectorServer", _accept_host),
        _number(shadow.KEY, tuple(map(int, shadow.Shadow))),
    ]
)

SESSION_COLLECTION = PropertyKeys(
    [
        _text("SecurityDescriptor", sddl.normalise_groups),
        _text("UserPolicyXML", farm_settings.accept_policy),
        _text("UserVHDShare", farm_settings.accept_share),
        _number("IsUserVHDEnabled", _FLAG),
        _number("DiskSizeInMB", _DISK_MB),
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
        _text("CustomRdpProperty", rdp_file.accept_custom),
    ]
)

SESSION_HOST = PropertyKeys(
    [
        _number("DrainMode", range(3)),
        _number("RelativeWeight", _NOT_NEGATIVE),
        _number("SessionLimit", _NOT_NEGATIVE),
    ]
)
