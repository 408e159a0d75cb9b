"""Why something waits, was refused, placed or failed: codes for programs, words for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReasonCode(StrEnum):
    """One word for each reason that is ever given. Words that go with it say the rest."""

    # waits
    HOST_BUSY = "HostBusy"
    HOST_AWAY = "HostAway"
    GUEST_BOOTING = "GuestBooting"
    GUEST_SILENT = "GuestSilent"
    IMAGE_COPY = "ImageCopy"
    USER_LOGGED_ON = "UserLoggedOn"
    EARLIER_WAVE = "EarlierWave"
    TOO_MANY_UNAVAILABLE = "TooManyUnavailable"
    NO_DESKTOP_READY = "NoDesktopReady"
    DESKTOP_STARTING = "DesktopStarting"
    DESKTOP_IN_WORK = "DesktopInWork"
    # failures
    HOST_REFUSED = "HostRefused"
    OUT_OF_SPACE = "OutOfSpace"
    BOOT_TIMED_OUT = "BootTimedOut"
    PROBE_FAILED = "ProbeFailed"
    WAVE_FAILED = "WaveFailed"
    CANCELLED = "Cancelled"
    STOPPED_AT_ERROR = "StoppedAtError"
    DEFECT = "Defect"
    # placements
    AS_ASKED = "AsAsked"
    LEAST_LOADED = "LeastLoaded"
    # brokering and pools
    NO_ACCESS = "NoAccess"
    NOT_ASSIGNED = "NotAssigned"
    NO_DESKTOP_LEFT = "NoDesktopLeft"
    POOL_STOPPED = "PoolStopped"
    # reconciling
    VM_LOST = "VmLost"
    UNKNOWN_VM = "UnknownVm"
    UNFINISHED_VM = "UnfinishedVm"


@dataclass(frozen=True, slots=True)
class Wait:
    """What something waits for, since when; ``position`` counts from 1 in the queue it is in.

    ``seconds`` is how long it will still be, estimated from what such steps took lately; both
    are None when there is no telling.
    """

    code: ReasonCode
    words: str
    since: datetime
    position: int | None = None
    seconds: float | None = None
