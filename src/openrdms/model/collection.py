"""Virtual desktop collections (Win32_RDMSVirtualDesktopCollection), and the names of all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from openrdms.model.errors import InvalidParameter

_MAX_NAME = 256
_NOT_IN_ALIASES = frozenset("*?\":<>|\\/'")
"""The rule of the aliases of applications (facts d)."""


class CollectionKind(StrEnum):
    """What a collection is made of: the class that it is an instance of."""

    DESKTOPS = "desktops"
    SESSIONS = "sessions"


def check_names(alias: str, name: str) -> None:
    """InvalidParameter unless a collection of either kind may have them."""
    for field, text in (("Alias", alias), ("Name", name)):
        if not text or text != text.strip():
            raise InvalidParameter(field, "is empty or has blanks at an end")
        if len(text) > _MAX_NAME or not text.isprintable():
            raise InvalidParameter(field, f"is longer than {_MAX_NAME} or not printable")
    # Clients paste it into WQL and into paths as it is (facts 0.6, a.3).
    wrong = _NOT_IN_ALIASES.intersection(alias)
    if wrong:
        raise InvalidParameter("Alias", f"has {min(wrong)}")


class CollectionType(IntEnum):
    """Type property: enumeration Win32_RDMSVirtualDesktopCollection.Type."""

    POOLED = 1
    MANUAL_PERSONAL = 2
    AUTO_PERSONAL = 3


class CollectionState(IntEnum):
    """CollectionState key (facts c.4). 9 is unused, 13 is the client's own."""

    UNKNOWN = 0
    POOL_CREATED = 1
    CREATE_VIRTUAL_DESKTOP_INPROGRESS = 2
    ADD_VIRTUAL_DESKTOP_INPROGRESS = 3
    UPDATE_VIRTUAL_DESKTOP_INPROGRESS = 4
    DELETE_VIRTUAL_DESKTOP_INPROGRESS = 5
    UPDATE_SCHEDULED = 6
    UPDATE_FAILED = 7
    UPDATE_CANCELLED = 8
    JOB_COMPLETED = 10
    CANCEL_INPROGRESS = 11
    JOB_ABORTED = 12


IDLE_STATES = frozenset(
    {
        CollectionState.UNKNOWN,
        CollectionState.UPDATE_FAILED,
        CollectionState.UPDATE_CANCELLED,
        CollectionState.JOB_COMPLETED,
        CollectionState.JOB_ABORTED,
    }
)
"""States in which a collection takes a new job (facts a.5)."""


@dataclass(frozen=True)
class Collection:
    """One row, the instance properties of the class. Lookups by alias and name ignore case."""

    alias: str
    name: str
    type: CollectionType
    is_managed: bool
    description: str | None = None
    security_descriptor: str | None = None
    vm_farm_settings: str | None = None
    user_vhd_setting: str | None = None
    icon: bytes | None = None
    show_in_portal: bool = True
    is_ha: bool = False
    is_user_admin: bool = False
    rollback_enabled: bool = True
    state: CollectionState = CollectionState.UNKNOWN
    job_guid: str = ""

    @property
    def resets(self) -> bool:
        """Whether its desktops are made anew from their image after each user."""
        return self.type is CollectionType.POOLED and self.rollback_enabled


NO_DOMAIN = "WORKGROUP"
"""What clients are told of desktops that belong to no domain, and send back: they cannot do with
an empty text (facts b.5)."""


@dataclass(frozen=True)
class ProvisioningSettings:
    """What a collection remembers of its Create job (GetProvisioningProperties, facts b.5).

    ``unattend_xml`` and ``ou`` keep the Create job's text for ever: later jobs carry defaults
    or wrong values there (facts c.1, traps). ``image`` is NAME@VERSION.
    """

    vhd_type: str
    base_vm_location: str
    image: str
    name_prefix: str
    name_start_index: int
    local_vm_location: str
    local_gold_location: str
    run_from_smb: bool
    smb_location: str
    smb_streaming: bool
    domain: str
    ou: str
    unattend_xml: str


@dataclass(frozen=True)
class ReferenceDesktop:
    """The Reference* properties of Win32_RDMSCollectionProperties."""

    name: str | None = None
    machine_name: str | None = None
    host: str | None = None
    guid: str | None = None
    os_version: str | None = None
    ram_mib: int | None = None
    architecture: str | None = None
    remote_fx: bool = False
    adapters: tuple[str, ...] | None = None
