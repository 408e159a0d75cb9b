"""What states are called, and the tone of their lamps (style.css); ``t`` has other languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.desktop_use import Use
from openrdms.model.session import CONNECT_STATES


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

RUN_STATES: Mapping[str, Shown] = {
    "running": Shown("Running", "good"),
    "stopped": Shown("Off", "idle"),
    "saved": Shown("Saved", "held"),
    "paused": Shown("Paused", "busy"),
    "unknown": Shown("Unknown", "idle"),
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

ACTIONS: Mapping[str, str] = {
    "create": "Create desktops",
    "update": "Add desktops",
    "patch": "Update to an image",
    "delete": "Delete desktops",
    "prep": "Prepare an image",
}

JOB_STATES: Mapping[str, Shown] = {
    "scheduled": Shown("Scheduled", "held"),
    "running": Shown("Under way", "busy"),
    "cancelling": Shown("Being cancelled", "busy"),
    "completed": Shown("Completed", "good"),
    "cancelled": Shown("Cancelled", "idle"),
    "failed": Shown("Failed", "bad"),
}

JOB_DESKTOPS: Mapping[str, Shown] = {
    "in-progress": Shown("Under way", "busy"),
    "failed": Shown("Failed", "bad"),
    "pending": Shown("Waits", "idle"),
    "cancelled": Shown("Cancelled", "idle"),
    "complete": Shown("Done", "good"),
}

_LISTENING = Shown("Connecting", "busy")

SESSION_STATES: Mapping[str, Shown] = dict.fromkeys(CONNECT_STATES, _LISTENING) | {
    "active": Shown("Active", "good"),
    "connected": Shown("Connected", "good"),
    "disconnected": Shown("Disconnected", "idle"),
    "idle": Shown("Idle", "held"),
}


def shown_bytes(count: int) -> str:
    """In the largest binary unit that leaves a number of at least 1."""
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while size >= 1024 and unit != "PiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
