"""What guests last said of their sessions, remembered for a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from openrdms.model.host import GuestSession

SECONDS = 60.0
"""How old what is told may be: lists of sessions are taken as often by whoever watches them."""


class Key(NamedTuple):
    """A VM by the names that its host gives."""

    host: str
    vm: str


class Seen(NamedTuple):
    """A user, and the ConnectState of the session."""

    user: str
    state: int


class _Look(NamedTuple):
    """``at`` is a monotonic time in seconds; ``seen`` None when it was nobody."""

    at: float
    seen: Seen | None


class LastSeen:
    """Safe from several threads."""

    def __init__(self) -> None:
        self._looks: dict[Key, _Look] = {}
        self._lock = threading.Lock()

    def note(self, asked_at: float, answers: Iterable[tuple[Key, Sequence[GuestSession]]]) -> None:
        """Remember answers to a question of that monotonic time, but not over newer ones."""
        with self._lock:
            looks = {key: look for key, look in self._looks.items() if _is_fresh(look)}
            for key, sessions in answers:
                before = looks.get(key)
                if before is None or before.at <= asked_at:
                    looks[key] = _Look(asked_at, _choose(sessions))
            self._looks = looks

    def forget(self, key: Key) -> None:
        """What was seen holds no more, nor does what a question begun before now will see."""
        with self._lock:
            self._looks[key] = _Look(time.monotonic(), None)

    def find(self, key: Key) -> Seen | None:
        """Who was seen in a VM; None for nobody as for not known."""
        look = self._looks.get(key)
        return look.seen if look and _is_fresh(look) else None


def _is_fresh(look: _Look) -> bool:
    return time.monotonic() - look.at < SECONDS


def _choose(sessions: Sequence[GuestSession]) -> Seen | None:
    """One of several, an active one (0) before the disconnected (4)."""
    first = min(sessions, key=lambda session: session.state, default=None)
    return Seen(first.user, first.state) if first else None
