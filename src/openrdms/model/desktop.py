"""Virtual desktops on record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from openrdms.model.host import DiskKind


class DesktopStatus(IntEnum):
    """Win32_RDMSVirtualDesktop.Status (facts c.5)."""

    UNKNOWN = 0
    SUCCESS = 2
    FAILED = 3


@dataclass(frozen=True)
class Desktop:
    """A VM this service has a record of: made by a job, or adopted by AddVirtualDesktop.

    ``collection`` is the alias it is a member of now, "" for none. ``home`` is the alias whose
    job made it: it stays when membership is taken, so that a later Delete job finds it, and is
    "" for an adopted VM, which is never deleted, rolled back or counted as an orphan.
    ``generation`` is that of the disk in use (see ``VmSpec``). ``moving_to`` is the host to which
    the service ``mover`` ("" for one that is alone) is moving it, "" for none. ``identity_set`` is
    False for a desktop that was defined and left off: it gets its hostname at its first start.
    """

    name: str
    host: str
    uuid: UUID
    mac: str
    collection: str
    home: str
    image: str
    disk_kind: DiskKind
    generation: int
    status: DesktopStatus
    identity_set: bool = True
    user: str | None = None
    user_domain: str | None = None
    moving_to: str = ""
    mover: str = ""

    @property
    def adopted(self) -> bool:
        """True when the VM was not made by us."""
        return self.home == ""


class DesktopSummary(NamedTuple):
    """What a list of many desktops shows of one; ``key`` is its name case-folded."""

    key: str
    name: str
    host: str
    status: DesktopStatus
    collection: str
    user: str | None
    user_domain: str | None
