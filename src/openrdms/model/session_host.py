"""Session collections and their servers (Win32_RDSHCollection, Win32_RDSHServer)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class SessionCollectionType(IntEnum):
    """Type property: enumeration Win32_RDSHCollection.Type without what it reserves."""

    POOLED = 0
    MANUAL_PERSONAL = 4
    AUTO_PERSONAL = 5

    @property
    def is_personal(self) -> bool:
        """A desktop belongs to one user."""
        return self is not SessionCollectionType.POOLED


class ServerState(IntEnum):
    """ServerState property: the interface's numbers and those of stock clients (facts b.4)."""

    UNKNOWN = 1
    INITIALIZING = 2
    RUNNING = 3
    DOWN = 4
    HIBERNATED = 5
    STOPPED = 7
    INVALID = 8
    STARTING = 9
    STOPPING = 10


@dataclass(frozen=True)
class SessionCollection:
    """One row, the instance properties of the class. Lookups by alias and name ignore case."""

    alias: str
    name: str
    type: SessionCollectionType = SessionCollectionType.POOLED
    description: str | None = None


@dataclass(frozen=True)
class SessionHost:
    """A server that runs user sessions.

    ``broker`` is the server that it takes its users from. ``collection`` is the alias it is a
    member of, "" for none.
    """

    name: str
    broker: str
    collection: str = ""
    state: ServerState = ServerState.UNKNOWN


@dataclass(frozen=True)
class StartQueue:
    """A server's state, and its place among those that wait to be started.

    ``place`` is None for a server that does not wait: only what was set to STARTING and was not
    handed out yet does. The first place is handed out first.
    """

    state: ServerState
    place: int | None = None

    def test_and_set(self, comparand: int, state: ServerState, last: int) -> StartQueue:
        """What it becomes; ``last`` is the last place taken by anyone.

        Any state may follow any: the interface documents no order. Setting the state it has is
        no change, so a server that was handed out is not put in the queue again by that.
        """
        if self.state != comparand or self.state is state:
            return self
        return StartQueue(state, last + 1 if state is ServerState.STARTING else None)
