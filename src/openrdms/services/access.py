"""Who may use a collection, and what it publishes.

Asked for feeds and connections. Assigning a desktop to a user does not ask, as in
Windows: users may be of a domain that this service knows nothing of, groups may be granted
after the assignment, and an assignment alone lets nobody in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from openrdms import ports
from openrdms.model import errors, sddl
from openrdms.model.account import AUTHENTICATED_USERS, EVERYONE, Role
from openrdms.security.accounts import Accounts

_DESCRIPTOR_KEY = "SecurityDescriptor"
"""The key under which a session collection has its descriptor (facts b.3)."""
_WELL_KNOWN = {"Everyone": EVERYONE, "Authenticated Users": AUTHENTICATED_USERS}


@dataclass(frozen=True)
class Person:
    """Somebody as descriptors see them; a disabled account has no SIDs.

    Administrators of the deployment may use everything: they could give themselves any right,
    and must be able to try what users see.
    """

    sids: frozenset[str]
    is_administrator: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether somebody may use something; ``reason`` is the entry that decided, or words."""

    allowed: bool
    reason: str


@dataclass(frozen=True)
class Entry:
    """What a descriptor says of somebody; ``name`` is "" for a SID that we do not know."""

    allow: bool
    sid: str
    name: str


class Access:
    """Decides by the records as they are now."""

    def __init__(self, store: ports.Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    def get_person(self, name: str) -> Person:
        """An account of ours. NotFound."""
        role, present = self._accounts.get(name).role, self._accounts.find(name)
        sids = self._accounts.find_sids(name)
        return Person(sids, present is not None and role is Role.ADMINISTRATOR)

    def may_use(self, collection: str, person: Person) -> Verdict:
        """Whether somebody may use a collection. NotFound."""
        descriptor = self._find_descriptor(collection)
        return judge([descriptor] if descriptor else [], person)

    def list_entries(self, collection: str) -> list[Entry]:
        """What a collection's descriptor says, in the order that decides.

        NotFound; InvalidOperation for one that cannot be read (see ``judge``).
        None without a descriptor: it is for administrators only.
        """
        text = self._find_descriptor(collection)
        if text is None:
            return []
        try:
            dacl = sddl.parse(text).dacl
        except sddl.SddlError as error:
            raise errors.InvalidOperation(f"SecurityDescriptor: {error}") from error
        if dacl is None:
            return [Entry(allow=True, sid=EVERYONE, name="Everyone")]
        names = {sid: name for name, sid in self._list_names()}
        return [Entry(ace.allow, ace.sid, names.get(ace.sid, "")) for ace in dacl]

    def make_descriptor(self, names: Iterable[str]) -> str:
        """A descriptor that lets groups and accounts in, by name or SID. NotFound.

        A group is one that an account is in.
        """
        sids = {name.casefold(): sid for name, sid in self._list_names()}
        return str(sddl.allow_groups([_find_sid(sids, name) for name in names]))

    def _find_descriptor(self, collection: str) -> str | None:
        """Of a collection of either kind. NotFound."""
        of_desktops = self._store.find_collection(collection)
        if of_desktops:
            return of_desktops.security_descriptor
        if self._store.find_session_collection(collection) is None:
            raise errors.NotFound(f"there is no collection {collection!r}")
        value = self._store.find_session_collection_value(collection, _DESCRIPTOR_KEY)
        return value if isinstance(value, str) else None

    def _list_names(self) -> list[tuple[str, str]]:
        """Names that we know, with their SIDs."""
        accounts = self._accounts.list()
        groups = {group for account in accounts for group in account.groups}
        return [
            *_WELL_KNOWN.items(),
            *((account.name, account.sid) for account in accounts),
            *((group, self._store.group_sid(group)) for group in groups),
            *{
                pair
                for account in accounts
                for pair in zip(account.directory_groups, account.directory_sids, strict=True)
            },
        ]


def judge(descriptors: Sequence[str], person: Person) -> Verdict:
    """The verdict of descriptors that must all allow; without any it is for administrators.

    One that cannot be read lets nobody else in: records of older services hold any text.
    """
    if person.is_administrator:
        return Verdict(allowed=True, reason="administrators may use everything")
    if not person.sids:
        return Verdict(allowed=False, reason="the account is disabled")
    verdict = Verdict(allowed=False, reason="no descriptor: administrators only")
    for text in descriptors:
        verdict = _explain(text, person)
        if not verdict.allowed:
            break
    return verdict


def _explain(text: str, person: Person) -> Verdict:
    try:
        descriptor = sddl.parse(text)
    except sddl.SddlError as error:
        return Verdict(allowed=False, reason=f"the descriptor cannot be read: {error}")
    if descriptor.dacl is None:
        return Verdict(allowed=True, reason="no DACL: everybody")
    decision = descriptor.find_decision(person.sids)
    return Verdict(descriptor.allows(person.sids), str(decision or "no entry names the account"))


def _find_sid(known: dict[str, str], name: str) -> str:
    if name.casefold() in known:
        return known[name.casefold()]
    try:
        return sddl.parse_sid(name)
    except sddl.SddlError as error:
        raise errors.NotFound(f"no account and no group of one is called {name!r}") from error
