"""Messages from administrators to users, as their portal shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

KEPT = timedelta(days=7)


@dataclass(frozen=True)
class UserMessage:
    """One that was shown in a session of ``account``; ``read`` is when he said that he has it."""

    id: str
    account: str
    title: str
    text: str
    sent: datetime
    read: datetime | None = None
