"""Sessions of browsers: begun by a sign-in, ended by time, by their user or by a new password.

They are records. While these are away those that were seen here lately hold, and one that begins
is kept in memory; when records are back it becomes one, if its account is what it was.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from openrdms import ports
from openrdms.model import errors
from openrdms.model.account import Account
from openrdms.model.web_session import IDLE, WebSession, is_fresh, is_over
from openrdms.security.accounts import Accounts
from openrdms.security.seen import Seen

_TOUCH = timedelta(minutes=1)
"""How exact the time of the last use is; each note of it is a write."""

_PASSING = timedelta(seconds=75)
"""How long one that is passing lasts although records are away, or nobody has asked them since."""

NoteLate = Callable[[str, str, str], None]
"""Keeps for the audit log that this account, from this address, did that. OperationFailed."""

SIGNED_IN = "sign in/records away"


class WebSessions:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.WebSessionStore,
        accounts: Accounts,
        clock: ports.Clock,
        note_late: NoteLate | None = None,
    ) -> None:
        """Without ``note_late`` nothing goes on while records are away."""
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._note_late = note_late
        self.seen = Seen[WebSession]()
        self._lock = threading.Lock()
        self._unwritten: dict[str, WebSession] = {}
        """Begun while records were away."""
        self._passing: set[str] = set()
        """Those of them that end when records are back, or soon."""
        self._writing: set[str] = set()
        self._listeners: list[Callable[[str], None]] = []

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Tell it the account of every session that somebody ended, in that thread."""
        self._listeners.append(listener)

    def begin(
        self, account: Account, address: str, *, is_passing: bool = False
    ) -> tuple[str, WebSession]:
        """A new session of somebody who has proved who he is, and what his browser holds of it.

        One that ``is_passing`` is over when records are back.
        """
        now = self._clock()
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
        if is_passing:
            self._keep(session, is_passing=True)
            return secret, session
        try:
            self._store.delete_web_sessions(used_before=now - IDLE)
            self._store.put_web_session(session)
        except errors.RecordsUnavailable:
            self._keep(session)
        return secret, session

    def _keep(self, session: WebSession, *, is_passing: bool = False) -> None:
        if self._note_late is None:
            raise errors.RecordsUnavailable("records: they do not answer; try again")
        self._note_late(session.account, session.address, SIGNED_IN)
        now = self._clock()
        with self._lock:
            lasting = {key: one for key, one in self._unwritten.items() if not is_over(one, now)}
            self._passing &= lasting.keys()
            if is_passing:
                self._passing.add(session.secret_hash)
            self._unwritten = {**lasting, session.secret_hash: session}

    def find(self, secret: str) -> tuple[WebSession, Account] | None:
        """The session of a browser and whose it is; None when it is over.

        An account that was disabled, or has another password, has none.
        """
        session = self._read(hash_secret(secret))
        account = self._find_account(session) if session else None
        if session is None or account is None:
            return None
        now = self._clock()
        if now - session.used > _TOUCH:
            with suppress(errors.RecordsUnavailable):
                self._store.touch_web_session(session.secret_hash, now)
                session = replace(session, used=now)
        return session, account

    def _read(self, secret_hash: str) -> WebSession | None:
        """RecordsUnavailable for one that is not known here."""
        changes = self.seen.changes
        try:
            unwritten = self._unwritten.get(secret_hash)
            if unwritten and not self._write(unwritten):
                return unwritten
            found = self._store.find_web_session(secret_hash)
        except errors.RecordsUnavailable:
            known = self._recall(secret_hash)
            if known is None:
                raise
            return known
        if self._note_late:
            self.seen.keep(secret_hash, found, changes)
        return found

    def _recall(self, secret_hash: str) -> WebSession | None:
        """As records had it last, or will have it."""
        return self._unwritten.get(secret_hash) or self.seen.find(secret_hash)

    def _write(self, session: WebSession) -> bool:
        """What began while records were away, if it would begin by what they say now.

        False while that is under way, perhaps in this very thread: listeners of accounts ask here.
        """
        with self._lock:
            if session.secret_hash in self._writing:
                return False
            self._writing.add(session.secret_hash)
        try:
            self._accounts.refresh([session.account])
            lasts = session.secret_hash not in self._passing
            if lasts and self._find_account(session):
                self._store.put_web_session(session)
            with self._lock:
                kept = self._unwritten.pop(session.secret_hash, None)
            if kept is None:  # its user has signed out meanwhile
                self._store.delete_web_session(session.secret_hash)
        finally:
            with self._lock:
                self._writing.discard(session.secret_hash)
        return True

    def look(self, session: WebSession) -> Account | None:
        """Whose it still is; unlike ``find`` no use of the session."""
        present = self._read(session.secret_hash)
        return self._find_account(present) if present else None

    def _find_account(self, session: WebSession) -> Account | None:
        account = self._accounts.find(session.account)
        age = self._clock() - session.began
        if session.secret_hash in self._passing and age > _PASSING:
            return None
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
        with self._lock:
            self._unwritten.pop(session.secret_hash, None)
        self.seen.drop(session.secret_hash)
        self._store.delete_web_session(session.secret_hash)
        self._tell(session.account)

    def end_all(self, account: str) -> None:
        """Sign out everywhere."""
        with self._lock:
            his = [key for key, one in self._unwritten.items() if one.account == account]
            for key in his:
                del self._unwritten[key]
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
