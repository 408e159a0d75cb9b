"""Work that takes long and is no provisioning job: images that are built, imported, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

INTERRUPTED = "the service ended while it was under way; see what there is, and ask again"


class TaskState(StrEnum):
    """The last two are ends."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Task:
    """One task. ``subject`` is what it works on, ``who`` asked for it.

    ``result`` is what came of it, in JSON values; ``error`` why nothing did. A task that was not
    at its end when the service ended has failed.
    """

    id: str
    kind: str
    subject: str
    who: str
    state: TaskState
    begun: datetime
    ended: datetime | None = None
    error: str = ""
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TaskProgress:
    """How far a running task is, 0 to 1, and what is being done."""

    fraction: float
    words: str
