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
MAX_CONTEXTS_OF_ONE = 64
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

    Beyond a limit the one idle longest is dropped, of the same caller if there is one. Safe from
    any thread without a lock: single dictionary operations are atomic, and whoever pops an entry
    owns it.
    """

    def __init__(
        self,
        limit: int = MAX_CONTEXTS,
        limit_of_one: int = MAX_CONTEXTS_OF_ONE,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        mark: str = "",
    ) -> None:
        """``mark``: up to 8 digits, in hexadecimal, that ids of this service begin with, where
        there are others; so a client that comes to the wrong one is told.
        """
        self._limit = limit
        self._limit_of_one = limit_of_one
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._mark = mark
        self._entries: dict[str, _Entry[T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, caller: Caller, namespace: str, content: T) -> str:
        """Keep ``content`` and return its id, a UUID whose bits are random but for the mark."""
        self._make_room(caller.name)
        identifier = self._mark + str(uuid.uuid4()).upper()[len(self._mark) :]
        self.restore(caller, namespace, identifier, content)
        return identifier

    def restore(self, caller: Caller, namespace: str, identifier: str, content: T) -> None:
        """Put back what ``take`` gave and nothing came of, under the id that the client has."""
        self._entries[identifier] = _Entry(
            caller.name, namespace.lower(), content, self._clock() + self._idle_seconds
        )

    def take(self, caller: Caller, namespace: str, identifier: str) -> T:
        """Remove and return it; INVALID_ENUMERATION_CONTEXT when unknown, expired or another's."""
        entry = self._entries.get(identifier)
        if entry is None or (entry.owner, entry.namespace) != (caller.name, namespace.lower()):
            raise self._unknown(identifier)
        if self._entries.pop(identifier, None) is None or entry.expires < self._clock():
            raise self._unknown(identifier)
        return entry.content

    def _make_room(self, owner: str) -> None:
        live: dict[str, _Entry[T]] = {}
        for identifier, entry in self._entries.copy().items():  # oldest first: a use makes it new
            if entry.expires < self._clock():
                self._entries.pop(identifier, None)
            else:
                live[identifier] = entry
        own = [identifier for identifier, entry in live.items() if entry.owner == owner]
        if len(own) >= self._limit_of_one or len(live) >= self._limit:
            self._entries.pop((own or list(live))[0], None)

    def _unknown(self, identifier: str) -> CimError:
        words = "the enumeration context is unknown or has ended"
        if not identifier.startswith(self._mark):
            words = (
                "the enumeration context was opened at another service, or has ended: "
                "the balancer must keep a client with one service (stickiness)"
            )
        return CimError(CimStatus.INVALID_ENUMERATION_CONTEXT, words)
