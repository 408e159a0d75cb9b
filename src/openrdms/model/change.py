"""What has changed, as live views are told: that it did, not how. Who cares reads it anew."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a change was of, and by what it is named."""

    JOB = "job"
    """A GUID, as jobs have it."""
    DESKTOP = "desktop"
    """A desktop's name."""
    SESSION = "session"
    """The name of the desktop whose sessions have changed."""
    HOST = "host"
    """A host's name."""
    COLLECTION = "collection"
    """An alias."""
    IMAGE = "image"
    """NAME@VERSION."""
    TASK = "task"
    """The id of a task."""
    OWN = "own"
    """A holder, case-folded: something about his desktops or his wait for one."""
    LINE = "line"
    """The alias of a collection whose waiting line, or whether it has a spare, has changed."""
    MESSAGE = "message"
    """The name of an account, case-folded, that has got a message or read one."""
    CANCEL = "cancel"
    """The GUID of a job that is to be cancelled: who runs it looks at its record."""
    ACCOUNT = "account"
    """The name of an account, case-folded, that has come, gone or changed."""
    POOL = "pool"
    """The alias of a collection whose pool an administrator lets go on."""
    MEMBER = "member"
    """The id of a service that has come or gone."""
    QUESTION = "question"
    """What one service asks another one (services/provisioning/questions); on no record."""
    ANSWER = "answer"
    """A part of what that one tells."""


class Change(NamedTuple):
    """``number`` counts up over all changes."""

    number: int
    kind: Kind
    key: str
