"""What states are called, and the tone of their lamps (style.css); ``t`` has other languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.desktop_use import Use
from openrdms.model.host import VmState
from openrdms.model.job import JobAction, VmStatus


class Shown(NamedTuple):
    """English words and a tone: good, busy, held, work, bad, idle."""

    words: str
    tone: str


USES: Mapping[Use, Shown] = {
    Use.TAKEN: Shown("In use", "held"),
    Use.READY: Shown("Ready", "good"),
    Use.PREPARING: Shown("Being prepared", "busy"),
    Use.WORK: Shown("In a job", "work"),
    Use.UNREADY: Shown("Not ready", "idle"),
    Use.QUARANTINED: Shown("Set apart", "bad"),
}
"""In the order in which charts have them."""

VM_STATES: Mapping[VmState, Shown] = {
    VmState.RUNNING: Shown("Running", "good"),
    VmState.STOPPED: Shown("Off", "idle"),
    VmState.SAVED: Shown("Saved", "held"),
    VmState.PAUSED: Shown("Paused", "busy"),
    VmState.UNKNOWN: Shown("Unknown", "idle"),
}

COLLECTION_STATES: Mapping[CollectionState, Shown] = {
    CollectionState.UNKNOWN: Shown("New", "idle"),
    CollectionState.POOL_CREATED: Shown("New", "idle"),
    CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS: Shown("Being created", "busy"),
    CollectionState.ADD_VIRTUAL_DESKTOP_INPROGRESS: Shown("Desktops are being added", "busy"),
    CollectionState.UPDATE_VIRTUAL_DESKTOP_INPROGRESS: Shown("Being updated", "busy"),
    CollectionState.DELETE_VIRTUAL_DESKTOP_INPROGRESS: Shown("Desktops are being removed", "busy"),
    CollectionState.UPDATE_SCHEDULED: Shown("Update scheduled", "held"),
    CollectionState.UPDATE_FAILED: Shown("Update failed", "bad"),
    CollectionState.UPDATE_CANCELLED: Shown("Update cancelled", "idle"),
    CollectionState.JOB_COMPLETED: Shown("In order", "good"),
    CollectionState.CANCEL_INPROGRESS: Shown("Being cancelled", "busy"),
    CollectionState.JOB_ABORTED: Shown("Last job failed", "bad"),
}

COLLECTION_TYPES: Mapping[CollectionType, str] = {
    CollectionType.POOLED: "Pooled",
    CollectionType.MANUAL_PERSONAL: "Personal, assigned by hand",
    CollectionType.AUTO_PERSONAL: "Personal, assigned at first log-on",
}

ACTIONS: Mapping[JobAction, str] = {
    JobAction.CREATE: "Create",
    JobAction.UPDATE: "Add desktops",
    JobAction.DELETE: "Delete desktops",
    JobAction.PATCH: "Update to an image",
    JobAction.PREP: "Prepare an image",
}

JOB_STATES: Mapping[CollectionState, Shown] = {
    CollectionState.UPDATE_SCHEDULED: Shown("Scheduled", "held"),
    CollectionState.CANCEL_INPROGRESS: Shown("Being cancelled", "busy"),
    CollectionState.JOB_COMPLETED: Shown("Completed", "good"),
    CollectionState.JOB_ABORTED: Shown("Failed", "bad"),
    CollectionState.UPDATE_FAILED: Shown("Failed", "bad"),
    CollectionState.UPDATE_CANCELLED: Shown("Cancelled", "idle"),
}
"""Of jobs; those that are not here are under way."""

UNDER_WAY = Shown("Under way", "busy")

JOB_DESKTOPS: Mapping[VmStatus, Shown] = {
    VmStatus.IN_PROGRESS: Shown("Under way", "busy"),
    VmStatus.FAILED: Shown("Failed", "bad"),
    VmStatus.PENDING: Shown("Waits", "idle"),
    VmStatus.CANCELLED: Shown("Cancelled", "idle"),
    VmStatus.COMPLETE: Shown("Done", "good"),
}

SESSION_STATES: Mapping[int, Shown] = {
    0: Shown("Active", "good"),
    1: Shown("Connected", "good"),
    4: Shown("Disconnected", "idle"),
    5: Shown("Idle", "held"),
}
"""ConnectState of sessions."""


def shown_bytes(count: int) -> str:
    """In the largest binary unit that leaves a number of at least 1."""
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while size >= 1024 and unit != "PiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
