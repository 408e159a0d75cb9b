"""Why something waits, was refused, placed or failed: codes for programs, words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from openrdms.model import errors


class ReasonCode(StrEnum):
    """One word for each reason that is ever given. Words that go with it say the rest."""

    # waits
    HOST_BUSY = "HostBusy"
    HOST_AWAY = "HostAway"
    GUEST_BOOTING = "GuestBooting"
    GUEST_SILENT = "GuestSilent"
    PROBE_AWAITED = "ProbeAwaited"
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
    BOOT_STOPPED = "BootStopped"
    PROBE_FAILED = "ProbeFailed"
    WAVE_FAILED = "WaveFailed"
    CANCELLED = "Cancelled"
    STOPPED_AT_ERROR = "StoppedAtError"
    DEFECT = "Defect"
    # placements
    AS_ASKED = "AsAsked"
    LEAST_LOADED = "LeastLoaded"
    # refusals
    NO_CAPACITY = "NoCapacity"
    NO_MEMORY = "NoMemory"
    NOT_AS_ASKED = "NotAsAsked"
    NOT_NOW = "NotNow"
    # brokering and pools
    NO_ACCESS = "NoAccess"
    NOT_ASSIGNED = "NotAssigned"
    NO_DESKTOP_LEFT = "NoDesktopLeft"
    POOL_STOPPED = "PoolStopped"
    # reconciling
    VM_LOST = "VmLost"
    UNKNOWN_VM = "UnknownVm"
    UNFINISHED_VM = "UnfinishedVm"
    LEFT_OVER = "LeftOver"


PLACED: Mapping[str, str] = {
    ReasonCode.AS_ASKED: "as the job asks",
    ReasonCode.LEAST_LOADED: "on the host that had most to spare",
}
"""Words for placements, which are recorded by their codes alone."""


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


def render_reason(code: ReasonCode, words: str) -> str:
    """Both as one text, for records that have room for one."""
    return f"{code}: {words}"


def parse_reason(reason: str) -> tuple[str, str]:
    """Code and words of such a text; "" is the code of one without."""
    code, _, words = reason.partition(": ")
    return (code, words) if code in set(ReasonCode) else ("", reason)


def explain_refusal(error: errors.RdmsError) -> ReasonCode:
    """The code of a job that was refused; its words are the error's."""
    return find_refusal(error) or ReasonCode.NOT_NOW


def find_refusal(error: errors.RdmsError) -> ReasonCode | None:
    """The same for any request; None where no code says more than the error's kind."""
    told = getattr(error, "reason", None)
    if told in set(ReasonCode):
        return ReasonCode(told)
    return next((code for kind, code in _REFUSALS if isinstance(error, kind)), None)


_REFUSALS = (
    (errors.HostUnavailable, ReasonCode.HOST_AWAY),
    (errors.OutOfSpace, ReasonCode.OUT_OF_SPACE),
    (errors.InvalidParameter, ReasonCode.NOT_AS_ASKED),
    (errors.NotFound, ReasonCode.NOT_AS_ASKED),
    (errors.NotSupported, ReasonCode.NOT_AS_ASKED),
    (errors.AlreadyExists, ReasonCode.NOT_AS_ASKED),
    (errors.InvalidOperation, ReasonCode.NOT_NOW),
    (errors.RecordsUnavailable, ReasonCode.NOT_NOW),
)
