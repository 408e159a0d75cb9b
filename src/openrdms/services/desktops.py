"""Virtual desktops: records joined with what hosts have, run state, user assignment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus, DesktopSummary
from openrdms.model.host import VmInfo, VmState, VmSummary
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.run_states import RunStates, accept_state

_PAGE = 1000
"""How many desktops are listed from one look at records and hosts."""

_Pages = dict[str, dict[str, VmSummary]]
"""VMs by host and case-folded name."""


class VirtualDesktop(NamedTuple):
    """A VM as clients see it: on record or a stranger's, then with ``collection`` "".

    ``user`` and ``user_domain`` are None when nobody has it assigned.
    """

    name: str
    host: str
    status: DesktopStatus
    state: VmState
    collection: str = ""
    user: str | None = None
    user_domain: str | None = None


class Desktops:
    """Rules of Win32_RDMSVirtualDesktop. Names are compared ignoring case."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        health: HostHealth,
        run_states: RunStates,
        uses: DesktopUses,
    ) -> None:
        self._uses = uses
        self._store = store
        self._hosts = hosts
        self._health = health
        self._run_states = run_states

    def list_desktops(self, *, name: str = "", collection: str = "") -> Iterator[VirtualDesktop]:
        """Records and strangers, in order of name, read by pages while they are taken.

        ``name`` and ``collection`` may leave out what is called or belongs otherwise. A host that
        does not answer is left out; its desktops are listed in state UNKNOWN.
        """
        return self._list_called(name) if name else self._list_pages(collection)

    def get_desktop(self, name: str) -> VirtualDesktop:
        """NotFound."""
        record = self._store.find_desktop(name)
        vm = self._find_vm(name, record)
        if record is None and vm is None:
            raise errors.NotFound(f"no host has a VM called {name!r}")
        return _join(record, vm, self._store.list_given_up(name), vm.host if vm else "")

    def get_vm(self, name: str) -> VmInfo:
        """What its host says of it. NotFound, HostUnavailable."""
        record = self._store.find_desktop(name)
        if record:
            vm = self._hosts.get(record.host).find_vm(record.name)
        else:
            vm = self._find_vm(name, None)
        if vm is None:
            raise errors.NotFound(f"no host has a VM called {name!r}")
        return vm

    def set_state(self, name: str, state: int) -> None:
        """See ``RunStates.change``. InvalidOperation for a stranger, too."""
        accept_state(state)
        self._run_states.change(self._get_record(name), state)

    def find_user(self, name: str) -> tuple[str, str] | None:
        """Name and domain of the user it is assigned to."""
        record = self._store.find_desktop(name)
        return _user(record) if record else None

    def assign_user(self, name: str, user: str, domain: str) -> None:
        """Give a personal desktop to a user; giving it again is fine.

        InvalidOperation when the desktop has failed or is in no personal collection;
        AlreadyExists when it or the user is taken; InvalidParameter.
        """
        if not user.strip() or "\\" in user + domain:
            raise errors.InvalidParameter("UserName", "is empty or holds a backslash")
        record = self._get_record(name)
        self._check_personal(record)
        if record.status is DesktopStatus.FAILED:
            raise errors.InvalidOperation(f"desktop {record.name} has failed")

        def assign(present: Desktop | None) -> Desktop | None:
            if present and not is_member(present, record.collection):
                raise errors.InvalidOperation(f"desktop {name} has just left its collection")
            owner = present and _user(present)
            if owner and _folded(owner) != _folded((user, domain)):
                raise errors.AlreadyExists(f"{name} is assigned to {owner[1]}\\{owner[0]}")
            return present and replace(present, user=user, user_domain=domain)

        self._store.change_desktop(name, assign)

    def unassign_user(self, name: str) -> None:
        """Take a desktop from its user; nobody having it is fine. Who waits for one gets it.
        NotFound.
        """
        self._get_record(name)

        def unassign(present: Desktop | None) -> Desktop | None:
            return present and replace(present, user=None, user_domain=None)

        self._store.change_desktop(name, unassign)
        self._uses.announce([name])

    def find_assigned(self, alias: str, user: str, domain: str) -> str | None:
        """The name of the desktop that the user has in a collection. NotFound: no collection."""
        if self._store.find_collection(alias) is None:
            raise errors.NotFound(f"there is no collection {alias!r}")
        found = self._store.find_assigned(alias, user, domain)
        return found.name if found else None

    def _find_vm(self, name: str, record: Desktop | None) -> VmInfo | None:
        """On its own host only when it is on record; a silent host has nothing."""
        try:
            if record:
                host = self._hosts.find(record.host)
                return self._find_on(host, name) if host else None
            found = locate_vm(self._hosts, name)
        except errors.HostUnavailable:
            return None
        return found[1] if found else None

    def _list_called(self, name: str) -> Iterator[VirtualDesktop]:
        record = self._store.find_desktop(name)
        failed = self._store.list_given_up(name)
        if record:
            yield _join(record, self._find_vm(name, record), failed)
            return
        for host in self._hosts.all():
            if vm := self._find_on(host, name):
                yield _join(None, vm, failed, host.name)
                return

    def _list_pages(self, collection: str) -> Iterator[VirtualDesktop]:
        failed = self._store.list_given_up()
        after: str | None = ""
        while after is not None:
            records = self._store.page_desktops(after, _PAGE, collection or None)
            until = records[-1].key if len(records) == _PAGE else None
            pages, until = self._page_hosts(after, until)
            found = {
                record.key: _join(record, self._find_in(pages, record), failed)
                for record in records
                if until is None or record.key <= until
            }
            for host, page in pages.items():
                for key, vm in page.items():
                    if key not in found and self._may_belong(vm, collection):
                        found[key] = _join(None, vm, failed, host)
            yield from (found[key] for key in sorted(found))
            after = until

    def _page_hosts(self, after: str, until: str | None) -> tuple[_Pages, str | None]:
        """What the hosts have, and up to where they were asked for all they have."""
        pages: _Pages = {}
        for host in self._hosts.all():
            page = self._page_of(host, after, until)
            if len(page) == _PAGE:
                until = page[-1].name.casefold()
            pages[host.name] = {vm.name.casefold(): vm for vm in page}
        if until is None:
            return pages, None
        cut = {
            host: {key: vm for key, vm in page.items() if key <= until}
            for host, page in pages.items()
        }
        return cut, until

    def _page_of(self, host: ports.Host, after: str, until: str | None) -> list[VmSummary]:
        try:
            self._health.require(host.name)
            return host.page_vms(after, until, _PAGE)
        except errors.HostUnavailable:
            return []

    def _find_on(self, host: ports.Host, name: str) -> VmInfo | None:
        try:
            self._health.require(host.name)
            return host.find_vm(name)
        except errors.HostUnavailable:
            return None

    def _find_in(self, pages: _Pages, record: DesktopSummary) -> VmSummary | None:
        host = self._hosts.find(record.host)
        return pages[host.name].get(record.key) if host else None

    def _may_belong(self, vm: VmSummary, collection: str) -> bool:
        """Whether a VM that is not among the records of a collection is listed with them."""
        if not collection:
            return True
        claimed = vm.maker.casefold() == collection.casefold()
        return claimed and self._store.find_desktop(vm.name) is None

    def _get_record(self, name: str) -> Desktop:
        record = self._store.find_desktop(name)
        if record is None and self._find_vm(name, None):
            raise errors.InvalidOperation(f"VM {name} is in no collection")
        if record is None:
            raise errors.NotFound(f"no host has a VM called {name!r}")
        return record

    def _check_personal(self, record: Desktop) -> None:
        collection: Collection | None = self._store.find_collection(record.collection)
        if collection is None:
            raise errors.InvalidOperation(f"desktop {record.name} is in no collection")
        if collection.type is CollectionType.POOLED:
            raise errors.InvalidOperation(
                f"collection {collection.alias!r} is pooled: its desktops belong to nobody"
            )


def is_member(record: Desktop, alias: str) -> bool:
    """True when the desktop is a member of that collection now."""
    return record.collection.casefold() == alias.casefold()


def locate_vm(hosts: Hosts, name: str) -> tuple[ports.Host, VmInfo] | None:
    """The VM of that name and its host.

    InvalidParameter when several hosts have one; HostUnavailable when none of those that
    answer has it and others are silent.
    """
    found: list[tuple[ports.Host, VmInfo]] = []
    silent: list[str] = []
    for host in hosts.all():
        try:
            vm = host.find_vm(name)
        except errors.HostUnavailable:
            silent.append(host.name)
        else:
            found += [(host, vm)] if vm else []
    if len(found) > 1:
        places = ", ".join(host.name for host, _ in found)
        raise errors.InvalidParameter("VMName", f"there is a {name!r} on each of {places}")
    if silent and not found:
        raise errors.HostUnavailable(f"VM {name!r} may be on {', '.join(silent)}, silent now")
    return found[0] if found else None


def _join(
    record: Desktop | DesktopSummary | None,
    vm: VmInfo | VmSummary | None,
    failed: frozenset[str],
    host: str = "",
) -> VirtualDesktop:
    """``host`` is that of a VM without a record; it belongs to whom a job is making it for."""
    state = vm.state if vm else VmState.UNKNOWN
    if record:
        gave_up = failed and record.name.casefold() in failed
        return VirtualDesktop(
            record.name,
            record.host,
            DesktopStatus.FAILED if gave_up else record.status,
            state,
            record.collection,
            record.user,
            record.user_domain,
        )
    assert vm is not None  # noqa: S101 - callers have one of the two
    gave_up = vm.name.casefold() in failed
    status = DesktopStatus.FAILED if gave_up else DesktopStatus.UNKNOWN
    return VirtualDesktop(vm.name, host, status, state, vm.maker)


def _user(record: Desktop) -> tuple[str, str] | None:
    return None if record.user is None else (record.user, record.user_domain or "")


def _folded(user: tuple[str, str]) -> tuple[str, str]:
    return user[0].casefold(), user[1].casefold()
