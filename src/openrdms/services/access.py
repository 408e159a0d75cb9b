"""Who may use a collection, and what it publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from openrdms import ports
from openrdms.model import errors, sddl
from openrdms.model.account import Role
from openrdms.security.accounts import Accounts

_DESCRIPTOR_KEY = "SecurityDescriptor"
"""The key under which a session collection has its descriptor (facts b.3)."""


@dataclass(frozen=True)
class Person:
    """Somebody as descriptors see them.

    Administrators of the deployment may use everything: they could give themselves any right,
    and must be able to try what users see.
    """

    sids: frozenset[str]
    is_administrator: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether somebody may use something, and what says so: an entry of a DACL, or words."""

    allowed: bool
    reason: str


class Access:
    """Decides by the records as they are now."""

    def __init__(self, store: ports.Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    def get_person(self, name: str) -> Person:
        """An account of ours. NotFound; one that is disabled is nobody at all."""
        account = self._accounts.get(name)
        if not account.enabled:
            return Person(frozenset())
        is_administrator = account.role is Role.ADMINISTRATOR
        return Person(self._accounts.find_sids(name), is_administrator)

    def find_descriptor(self, collection: str) -> str | None:
        """The security descriptor of a collection of either kind, None without one. NotFound."""
        of_desktops = self._store.find_collection(collection)
        if of_desktops:
            return of_desktops.security_descriptor
        if self._store.find_session_collection(collection) is None:
            raise errors.NotFound(f"there is no collection {collection!r}")
        value = self._store.find_session_collection_value(collection, _DESCRIPTOR_KEY)
        return value if isinstance(value, str) else None

    def may_use(self, collection: str, person: Person) -> Verdict:
        """Whether somebody may use a collection. NotFound."""
        descriptor = self.find_descriptor(collection)
        return judge([descriptor] if descriptor else [], person)


def judge(descriptors: Sequence[str], person: Person) -> Verdict:
    """The verdict of descriptors that must all allow; without any it is for administrators."""
    if person.is_administrator:
        return Verdict(allowed=True, reason="administrators may use everything")
    if not person.sids:
        return Verdict(allowed=False, reason="the account is disabled")
    verdict = Verdict(allowed=False, reason="no descriptor: administrators only")
    for text in descriptors:
        descriptor = sddl.parse(text)
        verdict = _explain(descriptor, person)
        if not verdict.allowed:
            break
    return verdict


def _explain(descriptor: sddl.SecurityDescriptor, person: Person) -> Verdict:
    if descriptor.dacl is None:
        return Verdict(allowed=True, reason="no DACL: everybody")
    decision = descriptor.find_decision(person.sids)
    return Verdict(descriptor.allows(person.sids), str(decision or "no entry names the account"))
