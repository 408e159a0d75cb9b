"""Signing in with a name and a password, from a browser."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from openrdms.model.account import Account
from openrdms.model.errors import AccessDenied, RdmsError
from openrdms.security.accounts import Accounts
from openrdms.security.lockout import Lockouts

RecordRefusal = Callable[[str, str, str, str], None]
"""Told name, address, scheme and reason."""

SCHEME = "web"
"""What the audit log calls it."""

_log = structlog.get_logger(__name__)


class Locked(AccessDenied):
    """Too many failures; ``seconds`` until the next attempt is looked at."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many attempts; try again in {int(seconds) + 1} s")
        self.seconds = int(seconds) + 1


class SignIn:
    """Who somebody is, by what he knows. Safe from any thread; takes as long for any name."""

    def __init__(
        self, accounts: Accounts, lockouts: Lockouts, record_refusal: RecordRefusal
    ) -> None:
        self._accounts = accounts
        self._lockouts = lockouts
        self._record_refusal = record_refusal

    def by_password(self, name: str, password: str, address: str) -> Account:
        """The account. AccessDenied, Locked."""
        seconds = self._lockouts.seconds_locked(name, address)
        if seconds:
            self._lockouts.refused(name, address)
            raise Locked(seconds)
        account = self._accounts.verify(name, password, address)
        if account is None:
            self.failed(name, address, "wrong name or password")
            raise AccessDenied("the name or the password is wrong")
        self._lockouts.succeeded(name, address)
        return account

    def failed(self, name: str, address: str, reason: str) -> None:
        """Count and record a failure."""
        self._lockouts.failed(name, address)
        try:
            self._record_refusal(name, address, SCHEME, reason)
        except RdmsError:  # refused it is all the same
            _log.exception("a refusal could not be recorded")
