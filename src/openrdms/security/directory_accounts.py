"""Accounts of people whom a directory knows: made at their first sign-in, and kept up to date.

The directory is asked again for all of them every few minutes. While it does not answer they hold
for a while; then they are nobody's, until it answers.
"""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from openrdms import ports
from openrdms.model.account import Account
from openrdms.model.directory import DirectoryUser, find_role
from openrdms.model.errors import RdmsError
from openrdms.model.sign_in_options import Roles
from openrdms.security.accounts import Accounts
from openrdms.security.audit_log import AuditLog
from openrdms.security.audited_change import AuditedChange

PERIOD = timedelta(minutes=5)
TRUST = timedelta(minutes=30)
"""For so long its accounts hold although the directory does not answer."""

_RETRY = timedelta(seconds=30)

_log = structlog.get_logger(__name__)


class Adopting:
    """Makes accounts of people whom somebody else has proved."""

    def __init__(
        self, accounts: Accounts, audit_log: AuditLog, source: str, roles: Roles, trust: timedelta
    ) -> None:
        self.source = source
        self.accounts = accounts
        self._audit_log = audit_log
        self._roles = roles
        accounts.trust(source, trust)

    def adopt(self, user: DirectoryUser, address: str) -> Account | None:
        """His account; None for one that an administrator has disabled here.

        AccessDenied, InvalidParameter: see Accounts.adopt.
        """
        role = find_role(user.groups, self._roles)
        if self.accounts.look(user.name):
            account = self.accounts.adopt(self.source, user, role)
        else:
            named = {"Name": user.name}
            values = {"source": self.source, "role": role.value}
            with AuditedChange(
                self._audit_log, user.name, address, "sign-in/Create", on=named, values=values
            ):
                account = self.accounts.adopt(self.source, user, role)
        return self.accounts.find(account.name)

    def readopt(self, users: list[DirectoryUser]) -> None:
        """Those that have accounts, as their directory has them now."""
        found = [(user, find_role(user.groups, self._roles)) for user in users]
        self.accounts.readopt(self.source, found)


class DirectoryAccounts:
    """Accounts of a directory that knows passwords. Safe from any thread."""

    def __init__(
        self, adopting: Adopting, directory: ports.Directory, period: timedelta = PERIOD
    ) -> None:
        self._adopting = adopting
        self._directory = directory
        self._period = period
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="directory", daemon=True)

    def start(self) -> None:
        """Look at all accounts now and every few minutes."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def is_asked_for(self, name: str) -> bool:
        """False for a name that an account of somebody else's has: its directory is not asked."""
        known = self._adopting.accounts.look(name)
        return known is None or known.source == self._directory.source

    def verify(self, name: str, password: str, address: str) -> Account | None:
        """The account of who has that name and password there.

        DirectoryUnavailable; AccessDenied, InvalidParameter: see Accounts.adopt.
        """
        user = self._directory.authenticate(name, password)
        return self._adopting.adopt(user, address) if user else None

    def look_again(self) -> None:
        """Bring all accounts up to date. DirectoryUnavailable."""
        accounts = self._adopting.accounts
        known = [one for one in accounts.list() if one.source == self._directory.source]
        users = self._directory.look_up([(one.name, one.external_id) for one in known])
        for account, user in zip(known, users, strict=True):
            if user is None:
                accounts.withdraw(account.name)
        self._adopting.readopt([user for user in users if user])

    def _watch(self) -> None:
        while not self._stopped.is_set():
            pause = self._period
            try:
                self.look_again()
            except RdmsError as error:
                _log.warning("accounts not confirmed", error=str(error))
                pause = min(pause, _RETRY)
            except Exception:  # noqa: BLE001  what nobody expected must not end the looking
                _log.exception("accounts not confirmed")
                pause = min(pause, _RETRY)
            self._stopped.wait(pause.total_seconds())
