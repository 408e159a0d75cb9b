"""Enumeration contexts: what stays open on the server between two pulls.

WS-Enumeration and the pulled operations of DSP0200 share this idea. A context has a new id after
every pull and is taken out while it is used, so two pulls never work on one iterator.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.provider import Caller

MAX_CONTEXTS = 256
IDLE_SECONDS = 240.0
"""What newer Windows builds use."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry(Generic[T]):
    owner: str
    namespace: str
    content: T
    expires: float


class Contexts(Generic[T]):
    """Open enumerations by id, bound to the caller's name and the namespace.

    Beyond ``limit`` the one idle longest is dropped. Safe from any thread without a lock: single
    dictionary operations are atomic, and whoever pops an entry owns it.
    """

    def __init__(
        self,
        limit: int = MAX_CONTEXTS,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, caller: Caller, namespace: str, content: T) -> str:
        """Keep ``content`` and return its id, made of 122 bits from the system's random source."""
        now = self._clock()
        self._make_room(now)
        identifier = str(uuid.uuid4()).upper()
        self._entries[identifier] = _Entry(
            caller.name, namespace.lower(), content, now + self._idle_seconds
        )
        return identifier

    def take(self, caller: Caller, namespace: str, identifier: str) -> T:
        """Remove and return it; INVALID_ENUMERATION_CONTEXT when unknown, expired or another's."""
        entry = self._entries.get(identifier)
        if entry is None or (entry.owner, entry.namespace) != (caller.name, namespace.lower()):
            raise _unknown()
        if self._entries.pop(identifier, None) is None or entry.expires < self._clock():
            raise _unknown()
        return entry.content

    def _make_room(self, now: float) -> None:
        entries = list(self._entries.items())  # oldest first: every use makes a new entry
        surplus = len(entries) - self._limit + 1
        for index, (identifier, entry) in enumerate(entries):
            if index >= surplus and entry.expires >= now:
                return
            self._entries.pop(identifier, None)


def _unknown() -> CimError:
    return CimError(
        CimStatus.INVALID_ENUMERATION_CONTEXT, "the enumeration context is unknown or has ended"
    )
