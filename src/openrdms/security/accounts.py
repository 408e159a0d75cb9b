"""Accounts: who may sign in, with what, and which SIDs they have.

The store is asked at start and told of every change first; sign-ins are answered from memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.account import (
    AUTHENTICATED_USERS,
    EVERYONE,
    Account,
    Role,
    check_name,
    check_new_password,
    check_ntlm_name,
)
from openrdms.security.nt_hashes import NtHashes
from openrdms.security.passwords import Passwords, hash_password, is_outdated

_LOCAL = ""
"""Stands for the address of who starts the service."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Change:
    """What to change of an account; None leaves it as it is."""

    role: Role | None = None
    add_groups: tuple[str, ...] = ()
    remove_groups: tuple[str, ...] = ()
    password: str | None = None
    ntlm: bool | None = None
    enabled: bool | None = None


class Accounts:
    """All accounts of the deployment. Names ignore case. Safe from any thread."""

    def __init__(self, store: ports.AccountStore, nt_hash_file: Path, clock: ports.Clock) -> None:
        """``nt_hash_file`` is read, and rid of hashes that no account may have any more."""
        self._store = store
        self._clock = clock
        self._passwords = Passwords(clock)
        self._nt_hashes = NtHashes(nt_hash_file)
        self._changing = threading.RLock()
        self._listeners: list[Callable[[str], None]] = []
        self._group_sids: dict[str, str] = {}
        self._accounts = {account.name.casefold(): account for account in store.list_accounts()}
        self._sids = {key: self._collect_sids(item) for key, item in self._accounts.items()}
        self._nt_hashes.keep(item.name for item in self._accounts.values() if _has_nt_hash(item))

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Tell it the name of every account that was changed or removed, in that thread."""
        self._listeners.append(listener)

    @property
    def nt_hash_file(self) -> Path:
        """What pyspnego takes as NTLM_USER_FILE. There while ``has_nt_hashes``."""
        return self._nt_hashes.file

    def has_nt_hashes(self) -> bool:
        """True when somebody can sign in with NTLM."""
        return bool(self._nt_hashes)

    def has_nt_hash(self, name: str) -> bool:
        """True when that account can."""
        account = self.find(name)
        return account is not None and account.name in self._nt_hashes

    def list(self) -> list[Account]:
        """All accounts, in order of name."""
        return [account for _, account in sorted(self._accounts.copy().items())]

    def get(self, name: str) -> Account:
        """The account, enabled or not. NotFound."""
        found = self._accounts.get(name.casefold())
        if found is None:
            raise errors.NotFound(f"no account is called {name!r}")
        return found

    def find(self, name: str) -> Account | None:
        """The account if it is enabled: for whoever has proved the name by other means."""
        found = self._accounts.get(name.casefold())
        return found if found and found.enabled else None

    def find_sids(self, name: str) -> frozenset[str]:
        """The SIDs of an enabled account: its own, its groups' and everybody's; else none."""
        return self._sids.get(name.casefold(), frozenset()) if self.find(name) else frozenset()

    def recall(self, name: str, password: str, address: str) -> Account | None:
        """The account if ``verify`` has found the same lately from there; takes microseconds."""
        account = self.find(name)
        known = account and self._passwords.recall(account, password, address)
        return account if known else None

    def verify(self, name: str, password: str, address: str) -> Account | None:
        """The account if it is enabled and the password is its own.

        Takes as long for names that do not exist. What was verified is remembered for some
        minutes, until the account changes: then it takes microseconds from the same address.
        """
        known = self.recall(name, password, address)
        if known:
            return known
        account = self._accounts.get(name.casefold())
        if not self._passwords.verify(account, password, address) or account is None:
            return None
        if not account.enabled:
            return None
        if self._accounts.get(name.casefold()) is not account:  # changed meanwhile: ask that one
            return self.verify(name, password, address)
        if is_outdated(account.password_hash) or self._lacks_hash(account):
            self._renew(account, password)
        return self.find(name)

    def add(
        self,
        name: str,
        role: Role,
        *,
        groups: Iterable[str] = (),
        password: str | None = None,
    ) -> Account:
        """Make an account, enabled. AlreadyExists, InvalidParameter."""
        check_name(name)
        if password is not None:
            check_new_password(password)
        with self._changing:
            if name.casefold() in self._accounts:
                raise errors.AlreadyExists(f"there is an account called {name!r}")
            account = self._make(name, self._store.account_sid(name), role)
            wanted = Change(add_groups=tuple(groups), password=password)
            return self._put(_apply(account, wanted, self._clock()), password)

    def change(self, name: str, change: Change) -> Account:
        """Change an account. NotFound, InvalidParameter; InvalidOperation for the password of
        an account of the options, and for the last administrator, who must stay one and enabled.
        """
        if change.password is not None:
            check_new_password(change.password)
        with self._changing:
            if change.password is not None and self.get(name).from_options:
                raise errors.InvalidOperation(f"{name!r} has the password that the options name")
            account = _apply(self.get(name), change, self._clock())
            self._check_administrators(without=name, instead=account)
            return self._put(account, change.password)

    def remove(self, name: str) -> None:
        """Remove an account; its SID stays with the name. NotFound; InvalidOperation as above."""
        with self._changing:
            account = self.get(name)
            self._check_administrators(without=name)
            self._nt_hashes.drop(account.name)
            self._store.delete_account(name)
            self._accounts.pop(name.casefold())
            self._sids.pop(name.casefold())
            self._tell(account.name)

    def ensure_administrator(self, name: str, password: str) -> Account:
        """Make the account that the options name an enabled administrator with that password.

        The one that they named before is disabled. AlreadyExists when it is an ordinary account.
        """
        check_name(name, "admin-user")
        with self._changing:
            account = self._accounts.get(name.casefold())
            if account is None:
                sid = self._store.account_sid(name, built_in=True)
                made = self._make(name, sid, Role.ADMINISTRATOR)
                account = self._put(replace(made, from_options=True), None)
            if not account.from_options:
                raise errors.AlreadyExists(
                    f"admin-user: {name!r} is an account made by `rdms user`; name another one"
                )
            account = self._bring_up_to_date(account, password)
            for other in self.list():
                if other.from_options and other.enabled and other is not account:
                    self._put(replace(other, enabled=False, changed=self._clock()), None)
            return account

    def _bring_up_to_date(self, account: Account, password: str) -> Account:
        new = None if self._passwords.verify(account, password, _LOCAL) else password
        wanted = Change(role=Role.ADMINISTRATOR, password=new, enabled=True)
        changed = _apply(account, wanted, account.changed)
        if changed == account:
            return account
        return self._put(replace(changed, changed=self._clock()), new)

    def _make(self, name: str, sid: str, role: Role) -> Account:
        now = self._clock()
        flags = {"ntlm": False, "enabled": True, "from_options": False}
        return Account(name, sid, "", role, (), **flags, created=now, changed=now)

    def _put(self, account: Account, password: str | None) -> Account:
        """Write the account; ``password`` is given when it is new."""
        sids = self._collect_sids(account)
        if password is not None or not _has_nt_hash(account):
            # Before the record: whatever dies in between, no hash outlives its permission. A
            # hash too few comes back at the next sign-in.
            self._nt_hashes.drop(account.name)
        self._store.put_account(account)
        self._sids[account.name.casefold()] = sids
        self._accounts[account.name.casefold()] = account
        if password is not None and _has_nt_hash(account):
            self._nt_hashes.put(account.name, password)
        self._tell(account.name)
        return account

    def _tell(self, name: str) -> None:
        for listener in self._listeners:
            listener(name)

    def _renew(self, account: Account, password: str) -> None:
        """Make anew what can be made only when the password is known."""
        with self._changing:
            if self._accounts.get(account.name.casefold()) is not account:
                return
            try:
                if is_outdated(account.password_hash):
                    self._put(replace(account, password_hash=hash_password(password)), None)
                if self._lacks_hash(account):
                    self._nt_hashes.put(account.name, password)
            except (errors.RdmsError, OSError) as error:  # who signs in need not suffer for it
                _log.warning("hashes not renewed", account=account.name, error=str(error))

    def _lacks_hash(self, account: Account) -> bool:
        return _has_nt_hash(account) and account.name not in self._nt_hashes

    def _check_administrators(self, without: str, instead: Account | None = None) -> None:
        others = [item for key, item in self._accounts.items() if key != without.casefold()]
        remaining = [*others, instead] if instead else others
        if not any(item.enabled and item.role is Role.ADMINISTRATOR for item in remaining):
            raise errors.InvalidOperation(f"{without!r} is the last enabled administrator")

    def _collect_sids(self, account: Account) -> frozenset[str]:
        groups = [self._group_sid(name) for name in account.groups]
        return frozenset([account.sid, *groups, EVERYONE, AUTHENTICATED_USERS])

    def _group_sid(self, name: str) -> str:
        key = name.casefold()
        if key not in self._group_sids:
            self._group_sids[key] = self._store.group_sid(name)
        return self._group_sids[key]


def _has_nt_hash(account: Account) -> bool:
    """True when its hash may be kept."""
    return account.ntlm and account.enabled


def _apply(account: Account, change: Change, now: datetime) -> Account:
    """The account as it is to be. InvalidParameter for a wrong name of a group."""
    for name in change.add_groups:
        check_name(name, "group")
    if change.ntlm:
        check_ntlm_name(account.name)
    gone = {name.casefold() for name in change.remove_groups}
    groups = {name.casefold(): name for name in (*account.groups, *change.add_groups)}
    missing = gone - groups.keys()
    if missing:
        raise errors.InvalidParameter("remove-group", f"is in no group {min(missing)!r}")
    return replace(
        account,
        role=change.role or account.role,
        groups=tuple(name for key, name in groups.items() if key not in gone),
        password_hash=account.password_hash
        if change.password is None
        else hash_password(change.password),
        ntlm=account.ntlm if change.ntlm is None else change.ntlm,
        enabled=account.enabled if change.enabled is None else change.enabled,
        changed=now,
    )
