"""What a browser and a program hold instead of a password: sessions and API tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

IDLE = timedelta(minutes=30)
"""A session ends when nothing was asked for so long."""

LONGEST = timedelta(hours=12)
"""A session ends however much is asked."""

FRESH = timedelta(minutes=5)
"""For so long after he gave his password somebody may change what proves who he is."""

MAX_TOKEN_NAME = 80


class Scope(StrEnum):
    """What a token may be used for, beneath what the role of its account allows."""

    READ = "read"
    """To look at what administrators look at."""
    WRITE = "write"
    """To change anything but sessions."""
    SESSIONS = "sessions"
    """To send messages, disconnect and log off."""
    CONNECT = "connect"
    """To use the account's own desktops, as in the portal."""
    METRICS = "metrics"
    """To read figures for monitoring."""


@dataclass(frozen=True)
class WebSession:
    """Somebody who signed in with a browser. Only a hash of what the browser holds is kept.

    ``proof`` is what must be as it was for the sign-in to hold (``security.web_sessions``);
    ``csrf`` is what forms and scripts of that session must send back. ``proved`` is when its user
    last gave his password, or whatever else proves who he is.
    """

    secret_hash: str
    account: str
    proof: str = field(repr=False)
    csrf: str = field(repr=False)
    address: str
    began: datetime
    used: datetime
    proved: datetime


@dataclass(frozen=True)
class ApiToken:
    """A token of an account. ``id`` is public; only a hash of the secret is kept."""

    id: str
    secret_hash: str = field(repr=False)
    account: str
    name: str
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime | None


def is_fresh(session: WebSession, now: datetime) -> bool:
    """True while its user has just proved who he is."""
    return now - session.proved <= FRESH


def is_over(session: WebSession, now: datetime) -> bool:
    """True when its time has passed."""
    return now - session.used > IDLE or now - session.began > LONGEST
