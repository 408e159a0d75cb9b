"""API tokens: what programs send instead of a password."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

from openrdms import ports
from openrdms.model.account import Account
from openrdms.model.errors import InvalidParameter, NotFound
from openrdms.model.web_session import MAX_TOKEN_NAME, ApiToken, Scope
from openrdms.security.accounts import Accounts
from openrdms.security.web_sessions import hash_secret

PREFIX = "rdms_"
"""By which scanners for secrets find one that leaked."""


class ApiTokens:
    """Safe from any thread."""

    def __init__(self, store: ports.ApiTokenStore, accounts: Accounts, clock: ports.Clock) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock

    def make(
        self, account: str, name: str, scopes: Iterable[Scope], expires: datetime | None
    ) -> tuple[str, ApiToken]:
        """A token of an account, and its secret, which is told this once. NotFound,
        InvalidParameter.
        """
        if not name.strip() or len(name) > MAX_TOKEN_NAME or not name.isprintable():
            raise InvalidParameter("name", f"must have 1 to {MAX_TOKEN_NAME} printable characters")
        wanted = tuple(scope for scope in Scope if scope in set(scopes))
        if not wanted:
            raise InvalidParameter("scopes", "needs at least one")
        now = self._clock()
        if expires is not None and expires <= now:
            raise InvalidParameter("expires", "is in the past")
        secret = PREFIX + secrets.token_urlsafe(32)
        owner = self._accounts.get(account)
        if owner.source and expires is None:  # nobody may forget those who have left
            raise InvalidParameter("expires", f"accounts of {owner.source!r} need one")
        token = ApiToken(
            id=secrets.token_hex(8),
            secret_hash=hash_secret(secret),
            account=owner.name,
            name=name,
            scopes=wanted,
            created=now,
            expires=expires,
        )
        self._store.put_api_token(token)
        return secret, token

    def find(self, secret: str) -> tuple[ApiToken, Account] | None:
        """The token and its account; None when it is unknown, over, or its account disabled."""
        if not secret.startswith(PREFIX):
            return None
        token = self._store.find_api_token(hash_secret(secret))
        account = self._find_account(token) if token else None
        return (token, account) if token and account else None

    def look(self, token: ApiToken) -> Account | None:
        """Whose it still is."""
        present = self._store.find_api_token(token.secret_hash)
        return self._find_account(present) if present else None

    def _find_account(self, token: ApiToken) -> Account | None:
        if token.expires is not None and token.expires <= self._clock():
            return None
        return self._accounts.find(token.account)

    def list(self, account: str | None = None) -> list[ApiToken]:
        """In order of their creation."""
        return self._store.list_api_tokens(account)

    def remove(self, token_id: str) -> None:
        """NotFound."""
        if not self._store.delete_api_token(token_id):
            raise NotFound(f"there is no token {token_id!r}")
