"""Records of requests that may come again."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from openrdms.model.repeated_request import RepeatedRequest


class RepeatedRequestStore(Protocol):
    """By account, ignoring case, and key; those of an account go with it."""

    def add_request(self, request: RepeatedRequest, kept_since: datetime) -> RepeatedRequest | None:
        """Keep it, or return the one of that key that is there. Older ones, anybody's, go."""

    def take_request(self, account: str, key: str) -> bool:
        """Whether no other service that lives carries out one that was not answered; it is this
        one's from now on.
        """

    def put_request(self, request: RepeatedRequest) -> None:
        """Replace what is kept of it."""

    def drop_request(self, account: str, key: str) -> None:
        """Know it no more."""
