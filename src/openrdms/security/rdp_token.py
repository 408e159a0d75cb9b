"""Routing tokens: what an RDP file tells the relay, and clients send in the clear first of all."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta

from openrdms import ports
from openrdms.model.rdp_token import MOST_OF_ACCOUNT, RdpToken

_PREFIX = "openrdms:"
_OCTETS = 16
_FORM = re.compile(rf"{_PREFIX}([A-Za-z0-9_-]{{22}})")


class RdpTokens:
    """Safe from any thread."""

    def __init__(self, store: ports.RdpTokenStore, clock: ports.Clock) -> None:
        self._store = store
        self._clock = clock

    def issue(self, account: str, collection: str, life: timedelta) -> str:
        """A new one, for ``loadbalanceinfo``: far below what fits into a connection request."""
        now = self._clock()
        secret = secrets.token_urlsafe(_OCTETS)
        token = RdpToken(_hash(secret), account, collection, now, now + life)
        self._store.put_rdp_token(token, MOST_OF_ACCOUNT)
        return _PREFIX + secret

    def find(self, text: str) -> RdpToken | None:
        """What it stands for; None when it is none, or has expired or been revoked."""
        form = _FORM.fullmatch(text)
        token = self._store.find_rdp_token(_hash(form[1])) if form else None
        return token if token and self._clock() < token.expires else None

    def revoke(self, account: str) -> None:
        """All of an account."""
        self._store.delete_rdp_tokens(account)


def _hash(secret: str) -> str:
    """128 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
