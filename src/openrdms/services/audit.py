"""Audit: what is left over on the hosts, and what our records claim that is not there.

Records are read before and after the hosts. Only what both readings agree on is reported, so
jobs that begin or end while the audit looks cause no false finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.host import Leftover, VmInfo
from openrdms.model.job import JobDesktop
from openrdms.services.hosts import Hosts


@dataclass(frozen=True)
class Orphan:
    """A thing nobody accounts for. ``kind`` is that of a Leftover, or ``record``."""

    host: str
    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class Findings:
    """``unreachable`` names hosts that could not be asked; nothing is said about these."""

    orphans: list[Orphan] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)


_Place = tuple[str, str]
"""Host and VM name, both case folded: the host's own name, whatever form a record has."""


@dataclass(frozen=True)
class _Records:
    """What explains things: desktops, and VMs in the hands of a running job."""

    desktops: dict[_Place, Desktop]
    busy: frozenset[_Place]


@dataclass(frozen=True)
class _Inventory:
    """What one host has. ``vms`` by case-folded name."""

    host: str
    vms: dict[str, VmInfo]
    leftovers: list[Leftover]


class Audit:
    """Compares hosts with records."""

    def __init__(self, store: ports.Store, hosts: Hosts) -> None:
        self._store = store
        self._hosts = hosts

    def find_orphans(self) -> Findings:
        """Everything of ours that no record or running job explains, and records without a VM.

        A VM of which membership was taken (RemoveVirtualDesktop) has its record still and is
        explained; an adopted VM is never reported.
        """
        before = self._read_records()
        findings = Findings()
        inventories = []
        for host in self._hosts.all():
            try:
                inventories.append(_look_at(host))
            except errors.HostUnavailable:
                findings.unreachable.append(host.name)
        both = (before, self._read_records())
        for inventory in inventories:
            findings.orphans.extend(_unexplained(inventory, both))
            findings.orphans.extend(_gone(inventory, both))
        findings.unreachable.extend(self._unknown_hosts(before))
        return findings

    def _read_records(self) -> _Records:
        desktops = {self._place(desktop): desktop for desktop in self._store.list_desktops()}
        busy = {
            self._place(desktop)
            for job in self._store.list_jobs(running=True)
            for desktop in self._store.list_job_desktops(job.guid)
        }
        return _Records(desktops, frozenset(busy))

    def _place(self, desktop: Desktop | JobDesktop) -> _Place:
        host = self._hosts.find(desktop.host)
        return (host.name if host else desktop.host).casefold(), desktop.name.casefold()

    def _unknown_hosts(self, records: _Records) -> list[str]:
        named = {desktop.host for desktop in records.desktops.values()}
        return sorted(host for host in named if self._hosts.find(host) is None)


def _look_at(host: ports.Host) -> _Inventory:
    """HostUnavailable when it cannot be asked."""
    leftovers = host.list_leftovers()
    return _Inventory(host.name, {vm.name.casefold(): vm for vm in host.list_vms()}, leftovers)


def _unexplained(inventory: _Inventory, both: tuple[_Records, _Records]) -> Iterator[Orphan]:
    for leftover in inventory.leftovers:
        reasons = [_why_orphan(inventory, leftover, records) for records in both]
        if all(reasons):
            yield Orphan(inventory.host, leftover.kind, leftover.name, reasons[-1])


def _why_orphan(inventory: _Inventory, leftover: Leftover, records: _Records) -> str:
    """Why these records do not explain the thing, "" when they do."""
    vm = inventory.vms.get(leftover.vm.casefold())
    place = (inventory.host.casefold(), leftover.vm.casefold())
    if place in records.busy or (vm and vm.ownership and vm.ownership.adopted):
        return ""
    desktop = records.desktops.get(place)
    if desktop is None:
        return "no record and no running job has a desktop of this name"
    if leftover.kind == "vm" and vm and vm.uuid != desktop.uuid:
        return f"the desktop of this name has uuid {desktop.uuid}, this VM {vm.uuid}"
    if leftover.kind == "disk" and vm and leftover.name not in vm.disks:
        return f"desktop {vm.name} uses another disk"
    return ""


def _gone(inventory: _Inventory, both: tuple[_Records, _Records]) -> Iterator[Orphan]:
    """Records, the same in both readings, whose VM or disk the host does not have."""
    before, after = both
    for place, desktop in after.desktops.items():
        settled = before.desktops.get(place) == desktop and place not in before.busy | after.busy
        if place[0] == inventory.host.casefold() and settled and not desktop.adopted:
            reason = _what_is_gone(inventory, desktop)
            if reason:
                yield Orphan(inventory.host, "record", desktop.name, reason)


def _what_is_gone(inventory: _Inventory, desktop: Desktop) -> str:
    """What the host lacks of a recorded desktop, "" when all is there."""
    vm = inventory.vms.get(desktop.name.casefold())
    if vm is None:
        return "the desktop's VM is gone"
    if vm.uuid != desktop.uuid:
        return f"the VM of this name has uuid {vm.uuid}, the desktop {desktop.uuid}"
    files = {leftover.name for leftover in inventory.leftovers if leftover.kind == "disk"}
    missing = sorted(set(vm.disks) - files)
    return f"disk {', '.join(missing)} is gone" if missing else ""
