"""Provisioning jobs as records: their states, their desktops, their steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from openrdms.model import errors
from openrdms.model.collection import CollectionState
from openrdms.model.host import DiskKind


class JobAction(StrEnum):
    """Job/Action of the job document, and Prep for ProvisioningPrepJob."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"
    PATCH = "Patch"
    PREP = "Prep"


RUNNING_STATE = {
    JobAction.CREATE: CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS,
    JobAction.UPDATE: CollectionState.ADD_VIRTUAL_DESKTOP_INPROGRESS,
    JobAction.PATCH: CollectionState.UPDATE_VIRTUAL_DESKTOP_INPROGRESS,
    JobAction.DELETE: CollectionState.DELETE_VIRTUAL_DESKTOP_INPROGRESS,
}


class Outcome(StrEnum):
    """How a job ended, before it is told in the numbers of its collection."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ABORTED = {
    Outcome.COMPLETED: CollectionState.JOB_COMPLETED,
    Outcome.FAILED: CollectionState.JOB_ABORTED,
    Outcome.CANCELLED: CollectionState.JOB_ABORTED,
}

END_STATE: dict[JobAction, dict[Outcome, CollectionState]] = {
    JobAction.CREATE: _ABORTED,
    JobAction.UPDATE: _ABORTED,
    JobAction.DELETE: _ABORTED,
    JobAction.PREP: _ABORTED,
    JobAction.PATCH: {
        Outcome.COMPLETED: CollectionState.JOB_COMPLETED,
        Outcome.FAILED: CollectionState.UPDATE_FAILED,
        Outcome.CANCELLED: CollectionState.UPDATE_CANCELLED,
    },
}
"""The state in which a job and its collection end (facts c.4). Every one is in IDLE_STATES."""


_GUID = re.compile(r"(\{)?([0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12})(?(1)\})", re.IGNORECASE)


def parse_guid(text: str, field: str = "JobGuid") -> str:
    """The GUID in the form records have, from one with or without braces, in any case.

    InvalidParameter names ``field``.
    """
    match = _GUID.fullmatch(text.strip())
    if match is None:
        raise errors.InvalidParameter(field, f"{text!r} is not a GUID")
    return f"{{{match[2].upper()}}}"


class Phase(StrEnum):
    """What is done to one desktop, in the order of PHASES (ARCHITECTURE.md, jobs)."""

    DISK = "disk"
    DEFINE = "define"
    START = "start"
    AGENT = "agent"
    IDENTITY = "identity"
    STOP = "stop"
    UNDEFINE = "undefine"
    ERASE = "erase"
    SHUT_DOWN = "shut down"
    EXPORT = "export"
    RESTART = "restart"
    GENERALISE = "generalise"
    CAPTURE = "capture"
    SEAL = "seal"


_MAKING = (Phase.DISK, Phase.DEFINE, Phase.START, Phase.AGENT, Phase.IDENTITY)

PHASES: dict[JobAction, tuple[Phase, ...]] = {
    JobAction.CREATE: _MAKING,
    JobAction.UPDATE: _MAKING,
    JobAction.PATCH: _MAKING,
    JobAction.DELETE: (Phase.STOP, Phase.UNDEFINE, Phase.ERASE),
    JobAction.PREP: (
        Phase.SHUT_DOWN,
        Phase.EXPORT,
        Phase.RESTART,
        Phase.DISK,
        Phase.DEFINE,
        Phase.START,
        Phase.AGENT,
        Phase.GENERALISE,
        Phase.CAPTURE,
        Phase.SEAL,
    ),
}
"""The phases of each action. A job may leave some out (no start, no sysprep), never reorder."""


class VmStatus(StrEnum):
    """Status of a desktop in a job's report."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True)
class Job:
    """One provisioning job. ``guid`` is in the form {8-4-4-4-12}, upper case.

    ``state`` uses the CollectionState numbers. ``ended`` is None while it runs. ``document`` is
    the job XML as received ("" for Prep); ``options`` is what else the workflow needs, never a
    secret. ``cancel_requested`` is set once, in the transaction that accepts the cancel.
    """

    guid: str
    collection: str
    action: JobAction
    state: CollectionState
    document: str
    options: dict[str, str | int | bool]
    started: datetime
    modified: datetime
    ended: datetime | None = None
    cancel_requested: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class JobDesktop:
    """One desktop of one job: intent and result of every step, in our own rows.

    ``intended`` is the last phase whose side effect may have begun, ``done`` the last that is
    known to have happened; both None at first. ``undone`` lists what the undo took back, in
    order. ``previous`` is the generation in use before a Patch, ``previous_image`` its image.
    ``notes`` carries what the report should say besides (for example "not joined").
    ``reason`` is the ReasonCode of its placement, or of its failure once there is ``error``.
    ``wave`` counts from 0 the waves of an update.
    """

    job: str
    ordinal: int
    name: str
    host: str
    uuid: UUID
    mac: str
    image: str
    disk_kind: DiskKind
    generation: int
    status: VmStatus = VmStatus.PENDING
    intended: Phase | None = None
    done: Phase | None = None
    error: str = ""
    undone: tuple[str, ...] = ()
    notes: str = ""
    previous: int | None = None
    previous_image: str = ""
    was_running: bool = False
    reason: str = ""
    wave: int = 0


@dataclass(frozen=True)
class StepTime:
    """How long a kind of step takes on a host: seconds, smoothed over ``count`` of them."""

    host: str
    kind: str
    seconds: float
    count: int
