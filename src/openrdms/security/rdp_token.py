"""Routing tokens: what an RDP file tells the relay, and clients send in the clear first of all."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta

from openrdms import ports
from openrdms.model import errors
from openrdms.model.rdp_token import MOST_OF_ACCOUNT, RdpToken
from openrdms.security.seen import Seen

_PREFIX = "openrdms:"
_OCTETS = 16
_FORM = re.compile(rf"{_PREFIX}([A-Za-z0-9_-]{{22}})")


class RdpTokens:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.RdpTokenStore,
        clock: ports.Clock,
        seen: Seen[RdpToken] | None = None,
    ) -> None:
        """Those in ``seen`` are found while the records are away."""
        self._store = store
        self._clock = clock
        self._seen = seen

    def issue(self, account: str, collection: str, life: timedelta) -> str:
        """A new one, for ``loadbalanceinfo``: far below what fits into a connection request."""
        now = self._clock()
        secret = secrets.token_urlsafe(_OCTETS)
        token = RdpToken(_hash(secret), account, collection, now, now + life)
        changes = self._seen.changes if self._seen else 0
        self._store.put_rdp_token(token, MOST_OF_ACCOUNT)
        if self._seen:
            self._seen.keep(token.secret_hash, token, changes)
        return _PREFIX + secret

    def find(self, text: str) -> RdpToken | None:
        """What it stands for; None when it is none, or has expired or been revoked.

        RecordsUnavailable for one that was not seen here.
        """
        form = _FORM.fullmatch(text)
        token = self._read(_hash(form[1])) if form else None
        return token if token and self._clock() < token.expires else None

    def _read(self, secret_hash: str) -> RdpToken | None:
        if self._seen is None:
            return self._store.find_rdp_token(secret_hash)
        changes = self._seen.changes
        try:
            found = self._store.find_rdp_token(secret_hash)
        except errors.RecordsUnavailable:
            known = self._seen.find(secret_hash)
            if known is None:
                raise
            return known
        self._seen.keep(secret_hash, found, changes)
        return found

    def revoke(self, account: str) -> None:
        """All of an account."""
        self._store.delete_rdp_tokens(account)


def _hash(secret: str) -> str:
    """128 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
