"""User sessions (Win32_VirtualDesktopSession)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Session:
    """A user session as RDMS shows it. ``session_id`` is ours: unique on the host, never reused."""

    host: str
    session_id: int
    vm: str
    state: int
    user: str
    domain: str
    collection: str
    client: str


@dataclass(frozen=True)
class SessionKey:
    """What a session id stands for: one guest session of one VM."""

    vm: str
    vm_uuid: UUID
    guest_key: str
