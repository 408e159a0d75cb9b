"""What an RDP file holds so that the relay knows whose connection it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

FILE_LIFE = timedelta(hours=12)
"""Of a file from the portal: a working day."""
FEED_LIFE = timedelta(days=7)
"""Of a file from the feed, which clients fetch anew every day."""
MOST_OF_ACCOUNT = 200
"""Beyond it the oldest of an account end."""


@dataclass(frozen=True)
class RdpToken:
    """An account's right to be brought to its desktop of a collection, as often as it likes.

    It proves nothing: it travels in the clear, and the guest asks for a password. Only a hash of
    it is kept.
    """

    secret_hash: str = field(repr=False)
    account: str
    collection: str
    created: datetime
    expires: datetime
