"""What the audit reports, and above all what it does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import DiskKind, Leftover, Ownership, VmInfo, VmState
from openrdms.model.reconcile import Known
from openrdms.services.audit import Audit, Orphan
from openrdms.services.hosts import Hosts

HOST = "host1.sim.local"
UUID_1, UUID_2 = UUID(int=1), UUID(int=2)

DESKTOP = Desktop(
    name="d-1",
    host=HOST,
    uuid=UUID_1,
    mac="52:54:00:00:00:01",
    collection="pool",
    home="pool",
    image="tiny@1",
    disk_kind=DiskKind.LINKED,
    generation=1,
    status=DesktopStatus.SUCCESS,
)
VM = VmInfo(
    name="d-1",
    host=HOST,
    uuid=UUID_1,
    state=VmState.RUNNING,
    memory_mib=128,
    vcpus=1,
    disks=("d-1.1.qcow2",),
    ownership=Ownership("pool", "{JOB}", "tiny@1"),
)
VM_LEFT = Leftover("vm", HOST, "d-1", "d-1")
DISK_LEFT = Leftover("disk", HOST, "d-1.1.qcow2", "d-1")


@dataclass
class FakeHost:
    name: str = HOST
    vms: list[VmInfo] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    up: bool = True

    def list_vms(self) -> list[VmInfo]:
        return self.vms

    def list_leftovers(self) -> list[Leftover]:
        if not self.up:
            raise errors.HostUnavailable(self.name)
        return self.leftovers


@dataclass
class FakeRecords:
    desktops: list[Desktop] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)

    def read_known(self, host: str) -> Known:
        here = {one.name.casefold(): one for one in self.desktops if one.host == host}
        return Known(here, busy=frozenset(self.busy) if host == HOST else frozenset())

    def list_desktop_hosts(self) -> list[str]:
        return sorted({one.host for one in self.desktops})


def find(records: FakeRecords, *hosts: FakeHost) -> list[Orphan]:
    return Audit(records, Hosts(hosts)).find_orphans().orphans


def reported(records: FakeRecords, *hosts: FakeHost) -> list[tuple[str, str]]:
    return [(orphan.kind, orphan.name) for orphan in find(records, *hosts)]


def test_a_desktop_on_record_explains_its_vm_and_disk() -> None:
    assert find(FakeRecords([DESKTOP]), FakeHost(HOST, [VM], [VM_LEFT, DISK_LEFT])) == []


def test_a_former_member_is_explained_by_its_record() -> None:
    former = replace(DESKTOP, collection="")
    assert find(FakeRecords([former]), FakeHost(HOST, [VM], [VM_LEFT, DISK_LEFT])) == []


@pytest.mark.parametrize("kind", ["vm", "disk", "snapshot", "nvram", "socket", "process"])
def test_a_thing_without_a_record_is_an_orphan(kind: str) -> None:
    left = Leftover(kind, HOST, "thing", "d-9")
    [orphan] = find(FakeRecords([DESKTOP]), FakeHost(HOST, [VM], [left, VM_LEFT, DISK_LEFT]))
    assert (orphan.host, orphan.kind, orphan.name) == (HOST, kind, "thing")
    assert "no record" in orphan.reason


def test_a_running_job_explains_what_it_is_making() -> None:
    host = FakeHost(HOST, [], [VM_LEFT, DISK_LEFT])
    assert find(FakeRecords(busy=["d-1"]), host) == []


def test_a_record_on_another_host_explains_nothing_here() -> None:
    elsewhere = FakeHost("host2.sim.local", [VM], [VM_LEFT])
    here = FakeHost(HOST, [VM], [VM_LEFT, DISK_LEFT])
    assert reported(FakeRecords([DESKTOP]), here, elsewhere) == [("vm", "d-1")]


def test_a_disk_that_the_desktop_does_not_use_is_an_orphan() -> None:
    old = Leftover("disk", HOST, "d-1.0.qcow2", "d-1")
    host = FakeHost(HOST, [VM], [VM_LEFT, DISK_LEFT, old])
    assert reported(FakeRecords([DESKTOP]), host) == [("disk", "d-1.0.qcow2")]


@pytest.mark.parametrize(
    ("vms", "leftovers", "words"),
    [
        ([], [], "VM is gone"),
        ([VM], [VM_LEFT], "d-1.1.qcow2 is gone"),
    ],
)
def test_a_record_without_its_vm_or_disk_is_an_orphan(
    vms: list[VmInfo], leftovers: list[Leftover], words: str
) -> None:
    [orphan] = find(FakeRecords([DESKTOP]), FakeHost(HOST, vms, leftovers))
    assert (orphan.kind, orphan.name) == ("record", "d-1")
    assert words in orphan.reason


def test_another_vm_under_the_desktops_name_is_no_stand_in() -> None:
    other = replace(VM, uuid=UUID_2)
    host = FakeHost(HOST, [other], [VM_LEFT, DISK_LEFT])
    assert reported(FakeRecords([DESKTOP]), host) == [("vm", "d-1"), ("record", "d-1")]


def test_an_adopted_vm_is_never_reported() -> None:
    adopted = replace(VM, ownership=Ownership("pool", "", "", adopted=True))
    assert find(FakeRecords(), FakeHost(HOST, [adopted], [VM_LEFT])) == []
    record = replace(DESKTOP, home="")
    assert find(FakeRecords([record]), FakeHost(HOST)) == []


def test_a_running_job_makes_no_record_an_orphan() -> None:
    assert find(FakeRecords([DESKTOP], ["d-1"]), FakeHost(HOST)) == []


def test_a_host_that_does_not_answer_is_named_and_judged_in_nothing() -> None:
    records = FakeRecords([DESKTOP, replace(DESKTOP, name="d-2", host="gone.sim.local")])
    findings = Audit(records, Hosts([FakeHost(up=False)])).find_orphans()
    assert findings.orphans == []
    assert findings.unreachable == [HOST, "gone.sim.local"]


def test_a_job_that_ends_while_the_audit_looks_causes_no_finding() -> None:
    records = FakeRecords(busy=["d-1"])

    class EndsJob(FakeHost):
        def list_leftovers(self) -> list[Leftover]:
            records.busy.clear()
            return super().list_leftovers()

    assert find(records, EndsJob(HOST, [VM], [VM_LEFT, DISK_LEFT])) == []
