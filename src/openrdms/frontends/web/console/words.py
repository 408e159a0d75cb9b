"""What states are called, and the tone of their lamps (style.css); ``t`` has other languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from openrdms.model.desktop_use import Use
from openrdms.model.patch import PatchState
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

COLLECTION_STATES: Mapping[str, Shown] = {
    "idle": Shown("New", "idle"),
    "created": Shown("New", "idle"),
    "creating": Shown("Being created", "busy"),
    "adding": Shown("Desktops are being added", "busy"),
    "updating": Shown("Being updated", "busy"),
    "deleting": Shown("Desktops are being removed", "busy"),
    "update-scheduled": Shown("Update scheduled", "held"),
    "update-failed": Shown("Update failed", "bad"),
    "update-cancelled": Shown("Update cancelled", "idle"),
    "completed": Shown("In order", "good"),
    "cancelling": Shown("Being cancelled", "busy"),
    "aborted": Shown("Last job failed", "bad"),
}

UPDATE_STATES: Mapping[PatchState, Shown] = {
    PatchState.INITIALIZED: Shown("Scheduled", "held"),
    PatchState.SUBMITTED: Shown("Scheduled", "held"),
    PatchState.UPDATE_STARTED: Shown("Under way", "busy"),
    PatchState.FORCE_LOGOFF_STARTED: Shown("Users are being logged off", "busy"),
    PatchState.UPDATE_COMPLETE: Shown("Completed", "good"),
    PatchState.UPDATE_FAILED: Shown("Failed", "bad"),
    PatchState.UPDATE_CANCELLED: Shown("Cancelled", "idle"),
}

COLLECTION_TYPES: Mapping[str, str] = {
    "pooled": "Pooled",
    "personal": "Personal, assigned by hand",
    "personal-auto": "Personal, assigned at first log-on",
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

PHASES: Mapping[str, str] = {
    "disk": "disk made",
    "define": "machine defined",
    "start": "started",
    "agent": "guest answers",
    "identity": "named",
    "stop": "stopped",
    "undefine": "machine removed",
    "erase": "disk removed",
    "shut down": "shut down",
    "export": "exported",
    "restart": "started again",
    "generalise": "generalised",
    "capture": "captured",
    "seal": "sealed",
}

TASKS: Mapping[str, str] = {"build": "Build", "import": "Import", "compare": "Compare"}

TASK_STATES: Mapping[str, Shown] = {
    "waiting": Shown("Waits", "idle"),
    "running": Shown("Under way", "busy"),
    "done": Shown("Done", "good"),
    "failed": Shown("Failed", "bad"),
}

CHANGES: Mapping[str, Shown] = {
    "added": Shown("added", "good"),
    "removed": Shown("removed", "bad"),
    "changed": Shown("changed", "busy"),
}
"""What differs between images."""

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
