"""User sessions (Win32_VirtualDesktopSession)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

CONNECT_STATES = (
    *("active", "connected", "connect query", "shadow", "disconnected"),
    *("idle", "listen", "reset", "down", "init"),
)
"""The words for ConnectState, by its number (facts c.5)."""


@dataclass(frozen=True)
class Session:
    """A user session as RDMS shows it. ``session_id`` is ours: unique on the host, never reused.

    ``since`` and ``idle`` are those of ``GuestSession``.
    """

    host: str
    session_id: int
    vm: str
    state: int
    user: str
    domain: str
    collection: str
    client: str
    since: datetime | None = None
    idle: timedelta | None = None


@dataclass(frozen=True)
class SessionKey:
    """What a session id stands for: one guest session of one VM."""

    vm: str
    vm_uuid: UUID
    guest_key: str
