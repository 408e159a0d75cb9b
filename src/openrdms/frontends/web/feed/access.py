"""What the feed asks to know who somebody is."""

from __future__ import annotations

from dataclasses import dataclass

from openrdms.frontends.http.authentication import Authentication
from openrdms.security.feed_cookie import FeedCookies


@dataclass(frozen=True)
class FeedAccess:
    """``end_point`` is what clients' handshakes may be bound to (RFC 5929 section 4)."""

    authentication: Authentication
    cookies: FeedCookies
    end_point: bytes
