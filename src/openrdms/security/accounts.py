"""Accounts: who may sign in, with what, and which SIDs they have.

The store is asked at start and told of every change first; sign-ins are answered from memory.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

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
from openrdms.model.directory import DirectoryGroup, DirectoryUser
from openrdms.security.nt_hashes import NtHashes
from openrdms.security.passwords import Passwords, hash_password, is_outdated
from openrdms.security.shared_key import SharedKey

_LOCAL = ""
"""Stands for the address of who starts the service."""

_ATTEMPTS = 10
"""How often a change is decided anew because another service has just changed the account."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class _Outdated(errors.OperationFailed):
    """What was decided on is not on record any more."""


@dataclass(frozen=True)
class Change:
    """What to change of an account; None leaves it as it is.

    With ``revoke`` its sessions, API tokens and RDP files are of no use any more.
    """

    role: Role | None = None
    add_groups: tuple[str, ...] = ()
    remove_groups: tuple[str, ...] = ()
    password: str | None = None
    ntlm: bool | None = None
    enabled: bool | None = None
    revoke: bool = False


class Accounts:
    """All accounts of the deployment. Names ignore case. Safe from any thread."""

    def __init__(
        self,
        store: ports.AccountStore,
        nt_hash_file: Path,
        clock: ports.Clock,
        shared: SharedKey | None = None,
    ) -> None:
        """``nt_hash_file`` is read, and rid of hashes that no account may have any more."""
        self._store = store
        self._clock = clock
        self._is_shared = shared is not None
        self._passwords = Passwords(clock)
        self._nt_hashes = NtHashes(nt_hash_file, shared)
        self._changing = threading.RLock()
        self._listeners: list[Callable[[str], None]] = []
        self._trust: dict[str, timedelta] = {}
        self._group_sids: dict[str, str] = {}
        self._confirmed = {
            name.casefold(): moment for name, moment in store.list_confirmations().items()
        }
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

    def look(self, name: str) -> Account | None:
        """The account if there is one, enabled or not."""
        return self._accounts.get(name.casefold())

    def find(self, name: str) -> Account | None:
        """The account if it is enabled: for whoever has proved the name by other means.

        None too for one of a directory that has not said for too long that it is still so.
        """
        found = self._accounts.get(name.casefold())
        return found if found and found.enabled and self._is_confirmed(found) else None

    def _is_confirmed(self, account: Account) -> bool:
        if not account.source:
            return True
        moment = self._confirmed.get(account.name.casefold())
        longest = self._trust.get(account.source)
        return bool(moment and longest and self._clock() - moment <= longest)

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
        wanted = Change(add_groups=tuple(groups), password=password)
        return self._decide(lambda: self._add(name, role, wanted))

    def _add(self, name: str, role: Role, wanted: Change) -> Account:
        self._catch_up(name)
        if name.casefold() in self._accounts:
            raise errors.AlreadyExists(f"there is an account called {name!r}")
        account = self._make(name, self._store.account_sid(name), role)
        return self._put(_apply(account, wanted, self._clock()), wanted.password)

    def _decide(self, act: Callable[[], T]) -> T:
        """Decide and write, and do both again when another service was quicker with the same."""
        attempts = itertools.count(1)
        while True:
            try:
                with self._changing:
                    return act()
            except _Outdated:
                if next(attempts) == _ATTEMPTS:
                    raise

    def refresh(self, names: Sequence[str] | None = None) -> None:
        """Another service may have changed these, or any, or what was handed out to them."""
        with self._changing:
            found = {item.name.casefold(): item for item in self._store.list_accounts(names)}
            moments = self._store.list_confirmations(names)
            confirmed = {name.casefold(): moment for name, moment in moments.items()}
            named = [*self._accounts, *found] if names is None else names
            keys = sorted({name.casefold() for name in named})
            for key in keys:
                self._take_over(key, found.get(key), confirmed.get(key))
                if names is not None and key in found and self._may_have_hash(found[key]):
                    self._nt_hashes.reread(found[key].name)
            if names is None or len(found) < len(keys):
                known = self._accounts.values()
                self._nt_hashes.keep(one.name for one in known if _has_nt_hash(one))
        for key in keys:
            self._tell(key)

    def _catch_up(self, name: str) -> None:
        """What another service has just changed of an account is not undone by a change here."""
        if self._is_shared:
            self.refresh([name])

    def _take_over(self, key: str, account: Account | None, confirmed: datetime | None) -> None:
        """What is on record now of an account."""
        if account is None:
            self._accounts.pop(key, None)
            self._sids.pop(key, None)
        elif account != self._accounts.get(
            key
        ):  # what was verified of it is remembered as long as it is the same
            self._sids[key] = self._collect_sids(account)
            self._accounts[key] = account
        if confirmed is None:
            self._confirmed.pop(key, None)
        else:
            self._confirmed[key] = confirmed

    def trust(self, source: str, longest: timedelta) -> None:
        """Accounts of that directory hold for so long after it has confirmed them."""
        self._trust[source] = longest

    def adopt(self, source: str, user: DirectoryUser, role: Role) -> Account:
        """Make, or bring up to date, the account of somebody whom a directory has just confirmed.

        AccessDenied when the name is somebody else's here, or he has another one here.
        InvalidParameter for a name that no account can have. RecordsUnavailable, unless nothing
        of it is new and it was confirmed lately: the next look at all accounts notes that again.
        """
        with self._changing:
            account = self._decide(lambda: self._settle(source, user, role))
            try:
                self._confirm([account.name], self._clock())
            except errors.RecordsUnavailable:
                if not self._is_confirmed(account):
                    raise
        return account

    def readopt(self, source: str, users: Iterable[tuple[DirectoryUser, Role]]) -> None:
        """The same for many who have accounts; one that is refused is nobody's from now on.

        RecordsUnavailable.
        """
        confirmed = []
        for user, role in users:
            with self._changing:
                try:
                    account = self._decide(partial(self._settle, source, user, role))
                    confirmed.append(account.name)
                except errors.RecordsUnavailable:  # says nothing of the account
                    raise
                except errors.RdmsError as error:
                    _log.warning("account withdrawn", account=user.name, error=str(error))
                    self.withdraw(user.name)
        self._confirm(confirmed, self._clock())

    def withdraw(self, name: str) -> None:
        """Its directory has it no more: it is nobody's until that says something else."""
        if name.casefold() in self._confirmed:
            self._confirm([name], None)
            self._tell(name)

    def _settle(self, source: str, user: DirectoryUser, role: Role) -> Account:
        check_name(user.name)
        known, account = self._describe(source, user, role)
        if account == known:
            return account
        self._catch_up(user.name)
        known, account = self._describe(source, user, role)
        if account == known:
            return account
        return self._put(replace(account, changed=self._clock()), None)

    def _describe(
        self, source: str, user: DirectoryUser, role: Role
    ) -> tuple[Account | None, Account]:
        """The account that is known, and as its directory has it now."""
        known = self._find_owned(source, user)
        groups = sorted(user.groups, key=lambda group: group.external_id)
        account = replace(
            known or self._make_external(source, user, role),
            role=role,
            directory_groups=tuple(f"{source}\\{group.name}" for group in groups),
            directory_sids=tuple(self._find_sid(source, group) for group in groups),
        )
        return known, account

    def _confirm(self, names: Sequence[str], moment: datetime | None) -> None:
        self._store.confirm_accounts(names, moment)
        for name in names:
            if moment is None:
                self._confirmed.pop(name.casefold(), None)
            else:
                self._confirmed[name.casefold()] = moment

    def _find_owned(self, source: str, user: DirectoryUser) -> Account | None:
        """The account of that entry, which has its name, and no other account has."""
        wanted = (source, user.external_id)
        for key, account in self._accounts.items():
            is_same = (account.source, account.external_id) == wanted
            if is_same and key == user.name.casefold():
                return account
            if is_same:
                raise errors.AccessDenied(f"is known here by another name: {account.name!r}")
            if key == user.name.casefold():
                raise errors.AccessDenied("the name belongs to another account here")
        return None

    def _make_external(self, source: str, user: DirectoryUser, role: Role) -> Account:
        sid = user.sid or self._store.account_sid(f"{source}:{user.external_id}")
        made = self._make(user.name, sid, role)
        return replace(made, source=source, external_id=user.external_id)

    def _find_sid(self, source: str, group: DirectoryGroup) -> str:
        """Its own; else one under a name that no group of ours can have."""
        return group.sid or self._group_sid(f"{source}:{group.external_id}")

    def change(self, name: str, change: Change) -> Account:
        """Change an account. NotFound, InvalidParameter; InvalidOperation for the password of
        an account of the options, for what a directory says of one, and for the last
        administrator, who must stay one and enabled.
        """
        if change.password is not None:
            check_new_password(change.password)
        return self._decide(lambda: self._change(name, change))

    def _change(self, name: str, change: Change) -> Account:
        self._catch_up(name)
        if change.password is not None and self.get(name).from_options:
            raise errors.InvalidOperation(f"{name!r} has the password that the options name")
        _check_ours(self.get(name), change)
        account = _apply(self.get(name), change, self._clock())
        self._check_administrators(without=name, instead=account)
        return self._put(account, change.password, revoke=change.revoke, leave_administrator=True)

    def remove(self, name: str) -> None:
        """Remove an account; its SID stays with the name. NotFound; InvalidOperation as above."""
        with self._changing:
            self._catch_up(name)
            account = self.get(name)
            self._check_administrators(without=name)
            self._nt_hashes.drop(account.name)
            self._store.delete_account(name)
            self._accounts.pop(name.casefold())
            self._sids.pop(name.casefold())
            self._confirmed.pop(name.casefold(), None)
            self._tell(account.name)

    def ensure_administrator(self, name: str, password: str) -> Account:
        """Make the account that the options name an enabled administrator with that password.

        The one that they named before is disabled. AlreadyExists when it is an ordinary account.
        """
        check_name(name, "admin-user")
        return self._decide(lambda: self._ensure_administrator(name, password))

    def _ensure_administrator(self, name: str, password: str) -> Account:
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
        return Account(
            name, sid, "", role, (), ntlm=False, enabled=True, from_options=False,
            created=now, changed=now,
        )  # fmt: skip

    def _put(
        self,
        account: Account,
        password: str | None,
        *,
        revoke: bool = False,
        leave_administrator: bool = False,
    ) -> Account:
        """Write the account; ``password`` is given when it is new.

        _Outdated, with what is on record taken over, when it was made of something else.
        """
        sids = self._collect_sids(account)
        before = self._accounts.get(account.name.casefold())
        if password is not None or not _has_nt_hash(account):
            # Before the record: whatever dies in between, no hash outlives its permission. A
            # hash too few comes back at the next sign-in.
            self._nt_hashes.drop(account.name)
        if not self._store.put_account(
            account, before, revoke=revoke, leave_administrator=leave_administrator
        ):
            self.refresh([account.name])
            raise _Outdated(f"account {account.name!r} is being changed by somebody else")
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
            try:
                self._catch_up(account.name)
                if self._accounts.get(account.name.casefold()) is not account:
                    return
                if is_outdated(account.password_hash):
                    self._put(replace(account, password_hash=hash_password(password)), None)
                if self._lacks_hash(account):
                    self._nt_hashes.put(account.name, password)
            except (errors.RdmsError, OSError) as error:  # who signs in need not suffer for it
                _log.warning("hashes not renewed", account=account.name, error=str(error))

    def _may_have_hash(self, account: Account) -> bool:
        return _has_nt_hash(account) or account.name in self._nt_hashes

    def _lacks_hash(self, account: Account) -> bool:
        return _has_nt_hash(account) and account.name not in self._nt_hashes

    def _check_administrators(self, without: str, instead: Account | None = None) -> None:
        """As far as is known here, before any hash goes; the store decides when it writes."""
        others = [item for key, item in self._accounts.items() if key != without.casefold()]
        remaining = [*others, instead] if instead else others
        if not any(item.enabled and item.role is Role.ADMINISTRATOR for item in remaining):
            raise errors.InvalidOperation(f"{without!r} is the last enabled administrator")

    def _collect_sids(self, account: Account) -> frozenset[str]:
        groups = [self._group_sid(name) for name in account.groups]
        own = (account.sid, *groups, *account.directory_sids)
        return frozenset([*own, EVERYONE, AUTHENTICATED_USERS])

    def _group_sid(self, name: str) -> str:
        key = name.casefold()
        if key not in self._group_sids:
            self._group_sids[key] = self._store.group_sid(name)
        return self._group_sids[key]


def _has_nt_hash(account: Account) -> bool:
    """True when its hash may be kept."""
    return account.ntlm and account.enabled


def _check_ours(account: Account, change: Change) -> None:
    """Refuse what the account's directory decides."""
    wanted = {"role": change.role, "password": change.password, "ntlm": change.ntlm}
    for field, value in wanted.items():
        if account.source and value is not None:
            raise errors.InvalidOperation(f"{field}: {account.source!r} says that of this account")


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
