"""What hosts have against what records say of it: what does not fit, and what to do about it.

Only what two readings of the records agree on, one before and one after the host was looked at,
is a finding: what jobs and pools have in hand meanwhile is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import Leftover, VmInfo
from openrdms.model.reason import ReasonCode, parse_reason


class Remedy(StrEnum):
    """What is done about a finding. No record goes before its VM, no VM before it is on record.

    NONE         somebody must look at it
    QUARANTINE   the desktop's VM or disk is gone: it is failed, and nobody gets it
    GIVE_BACK    what was gone is back
    RECORD       a VM of ours that no record knows: recorded, and nobody gets it
    REMOVE       a desktop that nobody finished making: recorded, then removed, then its record
    DELETE_DISK  a disk that its desktop no longer uses
    """

    NONE = "none"
    QUARANTINE = "quarantine"
    GIVE_BACK = "give back"
    RECORD = "record"
    REMOVE = "remove"
    DELETE_DISK = "delete disk"


@dataclass(frozen=True)
class Inventory:
    """What one host has. ``vms`` by case-folded name, strangers' too."""

    host: str
    vms: Mapping[str, VmInfo]
    leftovers: tuple[Leftover, ...]

    def disks_of(self, key: str) -> tuple[str, ...]:
        """The disk files of ours that belong to the VM of that case-folded name."""
        disks = (one for one in self.leftovers if one.kind == "disk")
        return tuple(disk.name for disk in disks if disk.vm.casefold() == key)

    def missing_disks(self, vm: VmInfo) -> list[str]:
        """Disks that the VM's definition names and the host does not have."""
        files = {leftover.name for leftover in self.leftovers if leftover.kind == "disk"}
        return sorted(set(vm.disks) - files)


@dataclass(frozen=True)
class Known:
    """What records say about one host at one moment; names are case folded.

    ``busy`` are names in the rows of running jobs, ``unmade`` desktops that an ended job was to
    make and did not finish, ``temporary`` the VMs of ended Prep jobs, ``jobs`` all ended jobs;
    ``moving`` are desktops that are on their way from or to the host.
    """

    desktops: Mapping[str, Desktop] = field(default_factory=dict)
    uses: Mapping[str, DesktopUse] = field(default_factory=dict)
    busy: frozenset[str] = frozenset()
    unmade: frozenset[UUID] = frozenset()
    temporary: frozenset[UUID] = frozenset()
    jobs: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()

    def in_hand(self, key: str) -> bool:
        """Whether a job or a pool is at work on it, or it is being moved."""
        use = self.uses.get(key)
        if key in self.moving:
            return True
        return key in self.busy or (use is not None and use.use in (Use.WORK, Use.PREPARING))

    def renews_disk(self, key: str) -> bool:
        """Whether its disk is made anew before anybody gets it, whichever there is now."""
        use = self.uses.get(key)
        return use is not None and use.use is Use.UNREADY and not self.desktops[key].adopted


@dataclass(frozen=True)
class Finding:
    """Something that does not fit. ``kind`` is that of a Leftover, or ``record``.

    ``desktop`` is the name it belongs to, "" when that cannot be told; ``record``, ``use``, ``vm``
    and ``disks`` are all that there was of that name when it was found.
    """

    host: str
    kind: str
    name: str
    desktop: str
    code: ReasonCode
    words: str
    remedy: Remedy
    record: Desktop | None = None
    use: DesktopUse | None = None
    vm: VmInfo | None = None
    disks: tuple[str, ...] = ()

    @property
    def what(self) -> tuple[str, ...]:
        """The same for the same finding at another time."""
        return (self.host, self.kind, self.name, self.code, self.words)


def compare(inventory: Inventory, before: Known, after: Known) -> list[Finding]:
    """What does not fit: leftovers first, then records, in the order in which they are listed."""
    agreed = set(_judge(inventory, before))
    return [finding for finding in _judge(inventory, after) if finding in agreed]


def is_set_apart(use: DesktopUse | None, code: ReasonCode) -> bool:
    """Whether the desktop was quarantined for that reason."""
    quarantined = use is not None and use.use is Use.QUARANTINED
    return quarantined and use is not None and parse_reason(use.reason)[0] == code


def generation_of(disk: str) -> int | None:
    """Of a disk file NAME.GENERATION.qcow2; None when it is called otherwise."""
    match = re.search(r"\.(\d+)\.qcow2$", disk)
    return int(match[1]) if match else None


def _judge(inventory: Inventory, known: Known) -> Iterator[Finding]:
    for leftover in inventory.leftovers:
        key = leftover.vm.casefold()
        vm = inventory.vms.get(key)
        adopted = vm and vm.ownership and vm.ownership.adopted
        if not known.in_hand(key) and not adopted:
            yield from _judge_leftover(inventory, known, leftover, vm)
    for key, record in known.desktops.items():
        if not known.in_hand(key):
            yield from _judge_record(inventory, known, key, record)


def _judge_leftover(
    inventory: Inventory, known: Known, leftover: Leftover, vm: VmInfo | None
) -> Iterable[Finding]:
    key = leftover.vm.casefold()
    record = known.desktops.get(key)
    if record is None:
        code, words, remedy = _judge_unrecorded(inventory, known, leftover, vm)
    elif leftover.kind == "vm" and vm and vm.uuid != record.uuid:
        code, remedy = ReasonCode.UNKNOWN_VM, Remedy.NONE
        words = f"the desktop of this name has uuid {record.uuid}, this VM {vm.uuid}"
    elif leftover.kind == "disk" and vm and leftover.name not in vm.disks:
        past = _is_past(leftover, record, vm)
        if known.renews_disk(key) and not past:
            return ()
        code, words = ReasonCode.UNFINISHED_VM, f"desktop {vm.name} uses another disk"
        remedy = Remedy.DELETE_DISK if past else Remedy.NONE
    else:
        return ()
    what = (inventory.host, leftover.kind, leftover.name, leftover.vm, code, words, remedy)
    return (Finding(*what, record, known.uses.get(key), vm, inventory.disks_of(key)),)


def _is_past(disk: Leftover, record: Desktop, vm: VmInfo) -> bool:
    """Whether record and VM agree that the desktop uses the disk of another generation."""
    used = {generation_of(name) for name in vm.disks}
    return used == {record.generation} and generation_of(disk.name) not in (None, *used)


def _judge_unrecorded(
    inventory: Inventory, known: Known, leftover: Leftover, vm: VmInfo | None
) -> tuple[ReasonCode, str, Remedy]:
    words = "no record and no running job has a desktop of this name"
    if leftover.kind == "disk" and vm is None:
        return ReasonCode.UNFINISHED_VM, f"{words}, and there is no VM for this disk", Remedy.REMOVE
    if leftover.kind != "vm" or vm is None:
        return ReasonCode.LEFT_OVER, words, Remedy.NONE
    # another service on the same libvirt has VMs too, and disks where we do not look
    ours = vm.ownership is not None and vm.ownership.job in known.jobs
    if ours and (missing := inventory.missing_disks(vm)):
        without = f"{words}, and its disk {', '.join(missing)} is gone"
        return ReasonCode.UNFINISHED_VM, without, Remedy.REMOVE
    if vm.uuid in known.temporary:
        return ReasonCode.UNFINISHED_VM, "it was for a preparation that has ended", Remedy.REMOVE
    return ReasonCode.UNKNOWN_VM, words, Remedy.RECORD


def _judge_record(
    inventory: Inventory, known: Known, key: str, record: Desktop
) -> Iterator[Finding]:
    use = known.uses.get(key)
    gone = _what_is_gone(inventory, known, key, record)
    lost = is_set_apart(use, ReasonCode.VM_LOST)
    code, words, remedy = ReasonCode.VM_LOST, gone, Remedy.QUARANTINE
    if _is_unfinished(known, record, use):
        code, remedy = ReasonCode.UNFINISHED_VM, Remedy.REMOVE
        words = "a job could neither finish nor remove it"
    elif gone and lost and record.status is DesktopStatus.FAILED:
        remedy = Remedy.NONE
    elif lost and not gone:
        words, remedy = "what was gone is back", Remedy.GIVE_BACK
    elif not gone:
        return
    what = (inventory.host, "record", record.name, record.name, code, words, remedy)
    yield Finding(*what, record, use, inventory.vms.get(key), inventory.disks_of(key))


def _is_unfinished(known: Known, record: Desktop, use: DesktopUse | None) -> bool:
    """Nobody ever had it: it was never a member of a collection, or was recorded as such."""
    if use and parse_reason(use.reason)[0] == ReasonCode.UNFINISHED_VM:
        return not record.collection
    failed = record.status is DesktopStatus.FAILED and not record.collection
    return failed and record.uuid in known.unmade


def _what_is_gone(inventory: Inventory, known: Known, key: str, record: Desktop) -> str:
    """What the host lacks of a recorded desktop, "" when all is there."""
    vm = inventory.vms.get(key)
    if vm is None:
        return "the desktop's VM is gone"
    if vm.uuid != record.uuid:
        return f"the VM of this name has uuid {vm.uuid}, the desktop {record.uuid}"
    unsure = record.adopted or known.renews_disk(key)
    missing = [] if unsure else inventory.missing_disks(vm)
    return f"disk {', '.join(missing)} is gone" if missing else ""
