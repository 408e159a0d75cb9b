"""Requests that clients send again because they did not hear what came of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

KEPT = timedelta(hours=24)
"""How long what came of a request is told again."""


@dataclass(frozen=True)
class RepeatedRequest:
    """A request by the key that its client gave it, which is the account's own.

    ``digest`` is of all that it says. ``status`` is None until it was answered; ``body`` is None
    for an answer that may be told once only.
    """

    account: str
    key: str
    digest: str
    begun: datetime
    status: int | None = None
    body: bytes | None = field(default=None, repr=False)
    location: str = ""
