"""Sessions of browsers: begun by a sign-in, ended by time, by their user or by a new password."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from openrdms import ports
from openrdms.model.account import Account
from openrdms.model.web_session import IDLE, WebSession, is_fresh, is_over
from openrdms.security.accounts import Accounts

_TOUCH = timedelta(minutes=1)
"""How exact the time of the last use is; each note of it is a write."""


class WebSessions:
    """Safe from any thread."""

    def __init__(
        self, store: ports.WebSessionStore, accounts: Accounts, clock: ports.Clock
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._listeners: list[Callable[[str], None]] = []

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Tell it the account of every session that somebody ended, in that thread."""
        self._listeners.append(listener)

    def begin(self, account: Account, address: str) -> tuple[str, WebSession]:
        """A new session of somebody who has proved who he is, and what his browser holds of it."""
        now = self._clock()
        self._store.delete_web_sessions(used_before=now - IDLE)
        secret = secrets.token_urlsafe(32)
        session = WebSession(
            secret_hash=hash_secret(secret),
            account=account.name,
            proof=_prove(account),
            csrf=secrets.token_urlsafe(32),
            address=address,
            began=now,
            used=now,
            proved=now,
        )
        self._store.put_web_session(session)
        return secret, session

    def find(self, secret: str) -> tuple[WebSession, Account] | None:
        """The session of a browser and whose it is; None when it is over.

        An account that was disabled, or has another password, has none.
        """
        session = self._store.find_web_session(hash_secret(secret))
        account = self._find_account(session) if session else None
        if session is None or account is None:
            return None
        now = self._clock()
        if now - session.used > _TOUCH:
            self._store.touch_web_session(session.secret_hash, now)
            session = replace(session, used=now)
        return session, account

    def look(self, session: WebSession) -> Account | None:
        """Whose it still is; unlike ``find`` no use of the session."""
        present = self._store.find_web_session(session.secret_hash)
        return self._find_account(present) if present else None

    def _find_account(self, session: WebSession) -> Account | None:
        account = self._accounts.find(session.account)
        if account is None or session.proof != _prove(account):
            return None
        return None if is_over(session, self._clock()) else account

    def is_fresh(self, session: WebSession) -> bool:
        """Whether its user has just proved who he is."""
        return is_fresh(session, self._clock())

    def prove(self, session: WebSession) -> None:
        """Its user has proved once more who he is."""
        self._store.prove_web_session(session.secret_hash, self._clock())

    def end(self, session: WebSession) -> None:
        """Sign out."""
        self._store.delete_web_session(session.secret_hash)
        self._tell(session.account)

    def end_all(self, account: str) -> None:
        """Sign out everywhere."""
        self._store.delete_web_sessions(account=account)
        self._tell(account)

    def _tell(self, account: str) -> None:
        for listener in self._listeners:
            listener(account)


def hash_secret(secret: str) -> str:
    """How a secret of 256 random bits is kept: no salt and no slow hash add to that."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _prove(account: Account) -> str:
    return hash_secret(account.proof)
