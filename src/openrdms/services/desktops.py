"""Virtual desktops: records joined with what hosts have, run state, user assignment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import VmInfo, VmState
from openrdms.model.job import VmStatus
from openrdms.services.hosts import Hosts

_SHUTDOWN_SECONDS = 20.0
"""How long a guest may take to shut down before it is switched off; less than a client waits."""

_SUSPENDED = 32769
"""Saved, in the numbers of Hyper-V v1 (facts c.5)."""


@dataclass(frozen=True)
class VirtualDesktop:
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

    def __init__(self, store: ports.Store, hosts: Hosts) -> None:
        self._store = store
        self._hosts = hosts

    def list_desktops(self) -> list[VirtualDesktop]:
        """Records and strangers, in order of name.

        A host that does not answer is left out; its desktops are listed in state UNKNOWN.
        """
        records = {record.name.casefold(): record for record in self._store.list_desktops()}
        vms: dict[str, VmInfo] = {}
        for host in self._hosts.all():
            for vm in _list_vms(host):
                record = records.get(vm.name.casefold())
                if record is None or self._hosts.find(record.host) is host:
                    vms.setdefault(vm.name.casefold(), vm)
        failed = self._failed_now()
        return [
            _join(records.get(key), vms.get(key), failed) for key in sorted(records.keys() | vms)
        ]

    def get_desktop(self, name: str) -> VirtualDesktop:
        """NotFound."""
        record = self._store.find_desktop(name)
        vm = self._find_vm(name, record)
        if record is None and vm is None:
            raise errors.NotFound(f"no host has a VM called {name!r}")
        return _join(record, vm, self._failed_now())

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
        """Bring a desktop to a run state: 2 running, 3 stopped, 6 or 32769 saved, 32768 paused.

        Stopping switches off what will not shut down, and drops what was saved. Being so already
        is fine. InvalidOperation for a stranger, and where no way leads there from the state it
        is in; InvalidParameter for what is no run state to ask for.
        """
        change = _CHANGES.get(VmState.SAVED if state == _SUSPENDED else state)
        if change is None:
            raise errors.InvalidParameter("VMState", f"{state} is no run state to ask for")
        record = self._get_record(name)
        change(self._hosts.get(record.host), record.name)

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
        """Take a desktop from its user; nobody having it is fine. NotFound."""
        self._get_record(name)

        def unassign(present: Desktop | None) -> Desktop | None:
            return present and replace(present, user=None, user_domain=None)

        self._store.change_desktop(name, unassign)

    def find_assigned(self, alias: str, user: str, domain: str) -> str | None:
        """The name of the desktop that the user has in a collection. NotFound: no collection."""
        if self._store.find_collection(alias) is None:
            raise errors.NotFound(f"there is no collection {alias!r}")
        wanted = _folded((user, domain))
        for record in self._store.list_desktops(alias):
            owner = _user(record)
            if owner and _folded(owner) == wanted:
                return record.name
        return None

    def _find_vm(self, name: str, record: Desktop | None) -> VmInfo | None:
        """On its own host only when it is on record; a silent host has nothing."""
        try:
            if record:
                host = self._hosts.find(record.host)
                return host.find_vm(name) if host else None
            found = locate_vm(self._hosts, name)
        except errors.HostUnavailable:
            return None
        return found[1] if found else None

    def _failed_now(self) -> frozenset[str]:
        """Desktops that a job still running has given up."""
        return frozenset(
            desktop.name.casefold()
            for job in self._store.list_jobs(running=True)
            for desktop in self._store.list_job_desktops(job.guid)
            if desktop.status is VmStatus.FAILED
        )

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


def _list_vms(host: ports.Host) -> Iterable[VmInfo]:
    try:
        return host.list_vms()
    except errors.HostUnavailable:
        return ()


def _join(record: Desktop | None, vm: VmInfo | None, failed: frozenset[str]) -> VirtualDesktop:
    state = vm.state if vm else VmState.UNKNOWN
    if record:
        gave_up = record.name.casefold() in failed
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
    return VirtualDesktop(vm.name, vm.host, status, state, _claimed_by(vm))


def _claimed_by(vm: VmInfo) -> str:
    """The collection for which a job is making a VM that is not on record yet."""
    return vm.ownership.collection if vm.ownership and not vm.ownership.adopted else ""


def _stop(host: ports.Host, name: str) -> None:
    vm = host.find_vm(name)
    if vm and vm.state is VmState.SAVED:
        host.destroy(name)
        return
    try:
        host.shut_down(name, _SHUTDOWN_SECONDS)
    except (errors.OperationFailed, errors.GuestUnreachable):
        host.destroy(name)


_CHANGES: Mapping[int, Callable[[ports.Host, str], None]] = {
    VmState.RUNNING: lambda host, name: host.start(name),
    VmState.STOPPED: _stop,
    VmState.SAVED: lambda host, name: host.save(name),
    VmState.PAUSED: lambda host, name: host.pause(name),
}
"""How a desktop is brought to each state. The others of facts c.5 are on the way to one."""


def _user(record: Desktop) -> tuple[str, str] | None:
    return None if record.user is None else (record.user, record.user_domain or "")


def _folded(user: tuple[str, str]) -> tuple[str, str]:
    return user[0].casefold(), user[1].casefold()
