"""What does not fit, whatever hosts and records say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import DiskKind, Leftover, Ownership, VmInfo, VmState
from openrdms.model.reason import ReasonCode, parse_reason, render_reason
from openrdms.model.reconcile import (
    Finding,
    Inventory,
    Known,
    Remedy,
    compare,
    generation_of,
)

HOST = "host1.test"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS = Ownership("pool", "{JOB}", "tiny@1")
DESKTOP = Desktop(
    *("d-1", HOST, UUID(int=1), "52:54:00:00:00:01", "pool", "pool", "tiny@1"),
    *(DiskKind.LINKED, 1, DesktopStatus.SUCCESS),
)
READY = DesktopUse("d-1", "pool", HOST, UUID(int=1), Use.READY, NOW, NOW)
VM = VmInfo("d-1", HOST, UUID(int=1), VmState.RUNNING, 256, 1, ("d-1.1.qcow2",), OURS)


def disk(generation: int, vm: str = "d-1") -> Leftover:
    return Leftover("disk", HOST, f"{vm}.{generation}.qcow2", vm)


VM_LEFT = Leftover("vm", HOST, "d-1", "d-1")


def inventory(*leftovers: Leftover, vm: VmInfo | None = VM) -> Inventory:
    return Inventory(HOST, {"d-1": vm} if vm else {}, leftovers)


def known(record: Desktop | None = DESKTOP, use: DesktopUse | None = READY) -> Known:
    return Known({"d-1": record} if record else {}, {"d-1": use} if record and use else {})


def test_a_vm_that_another_service_made_is_not_removed_though_its_disk_is_elsewhere() -> None:
    assert remedies(inventory(VM_LEFT), known(None)) == [(ReasonCode.UNKNOWN_VM, Remedy.RECORD)]


def remedies(found: Inventory, records: Known) -> list[tuple[str, Remedy]]:
    return [(finding.code, finding.remedy) for finding in compare(found, records, records)]


def apart(code: ReasonCode) -> DesktopUse:
    return replace(READY, use=Use.QUARANTINED, reason=render_reason(code, "words"))


def test_what_fits_is_no_finding() -> None:
    assert remedies(inventory(VM_LEFT, disk(1)), known()) == []


def test_a_lost_vm_is_set_apart_once_and_given_back_when_it_is_there() -> None:
    lost = (ReasonCode.VM_LOST, Remedy.QUARANTINE)
    assert remedies(inventory(vm=None), known()) == [lost]
    assert remedies(inventory(VM_LEFT), known()) == [lost]
    assert remedies(inventory(VM_LEFT, disk(1), vm=replace(VM, uuid=UUID(int=2))), known())[1:] == [
        lost
    ]
    failed = replace(DESKTOP, status=DesktopStatus.FAILED)
    use = apart(ReasonCode.VM_LOST)
    assert remedies(inventory(vm=None), known(DESKTOP, use)) == [lost]  # killed in between
    assert remedies(inventory(vm=None), known(failed, use)) == [(ReasonCode.VM_LOST, Remedy.NONE)]
    back = (ReasonCode.VM_LOST, Remedy.GIVE_BACK)
    assert remedies(inventory(VM_LEFT, disk(1)), known(failed, use)) == [back]


def test_what_was_set_apart_for_another_reason_stays_so() -> None:
    use = replace(READY, use=Use.QUARANTINED, reason="was not made by this service")
    assert remedies(inventory(VM_LEFT, disk(1)), known(DESKTOP, use)) == []


def test_a_vm_of_ours_without_record_is_recorded_and_never_removed() -> None:
    assert remedies(inventory(VM_LEFT, disk(1)), known(None))[0] == (
        ReasonCode.UNKNOWN_VM,
        Remedy.RECORD,
    )


def test_half_made_desktops_are_removed() -> None:
    remove = (ReasonCode.UNFINISHED_VM, Remedy.REMOVE)
    assert remedies(inventory(disk(1), vm=None), known(None)) == [remove]
    ended = replace(known(None), jobs=frozenset({OURS.job}))
    assert remedies(inventory(VM_LEFT), ended) == [remove]
    temporary = replace(known(None), temporary=frozenset({VM.uuid}))
    assert remedies(inventory(VM_LEFT, disk(1)), temporary)[0] == remove


def test_remnants_of_ended_jobs_are_removed_but_not_what_was_ever_handed_out() -> None:
    remnant = replace(DESKTOP, collection="", status=DesktopStatus.FAILED)
    unmade = frozenset({DESKTOP.uuid})
    remove = [(ReasonCode.UNFINISHED_VM, Remedy.REMOVE)]
    assert remedies(inventory(VM_LEFT, disk(1)), replace(known(remnant), unmade=unmade)) == remove
    assert remedies(inventory(VM_LEFT, disk(1)), known(remnant)) == []
    member = replace(known(replace(remnant, collection="pool")), unmade=unmade)
    assert remedies(inventory(VM_LEFT, disk(1)), member) == []


def test_a_disk_out_of_use_goes_when_record_and_vm_agree_which_is_used() -> None:
    found = inventory(VM_LEFT, disk(1), disk(2))
    delete = [(ReasonCode.UNFINISHED_VM, Remedy.DELETE_DISK)]
    assert remedies(found, known()) == delete
    assert remedies(found, known(replace(DESKTOP, generation=2))) == [
        (ReasonCode.UNFINISHED_VM, Remedy.NONE)
    ]
    unready = replace(READY, use=Use.UNREADY)
    assert remedies(found, known(DESKTOP, unready)) == delete  # left off, it may long be so
    between = known(replace(DESKTOP, generation=2), unready)
    assert remedies(found, between) == []  # the pool makes its disk anew
    assert remedies(inventory(VM_LEFT), known(DESKTOP, unready)) == []


def test_things_of_nobody_are_named() -> None:
    socket = Leftover("socket", HOST, "x.agent", "x")
    assert remedies(inventory(socket, VM_LEFT, disk(1)), known()) == [
        (ReasonCode.LEFT_OVER, Remedy.NONE)
    ]


def test_adopted_vms_are_strangers_unless_they_are_lost() -> None:
    adopted = replace(VM, ownership=replace(OURS, adopted=True))
    assert remedies(inventory(VM_LEFT, vm=adopted), known(None)) == []
    record = replace(DESKTOP, home="", generation=0)
    assert remedies(inventory(VM_LEFT, vm=adopted), known(record)) == []
    assert remedies(inventory(vm=None), known(record)) == [(ReasonCode.VM_LOST, Remedy.QUARANTINE)]


@pytest.mark.parametrize(
    ("name", "generation"),
    [("a.7.qcow2", 7), ("/x/a.b.12.qcow2", 12), ("a.qcow2", None), ("a.1.raw", None)],
)
def test_generations_are_in_the_names_of_disks(name: str, generation: int | None) -> None:
    assert generation_of(name) == generation


def test_reasons_are_read_back() -> None:
    assert parse_reason(render_reason(ReasonCode.VM_LOST, "a: b")) == ("VmLost", "a: b")
    assert parse_reason("no code: here") == ("", "no code: here")


UUIDS = st.sampled_from([UUID(int=1), UUID(int=2)])
RECORDS = st.none() | st.builds(
    replace,
    st.just(DESKTOP),
    uuid=UUIDS,
    collection=st.sampled_from(["", "pool"]),
    home=st.sampled_from(["", "pool"]),
    status=st.sampled_from(list(DesktopStatus)),
    generation=st.integers(0, 2),
)
USES = st.builds(
    replace,
    st.just(READY),
    use=st.sampled_from(list(Use)),
    reason=st.sampled_from(["", *(render_reason(code, "w") for code in ReasonCode)]),
)
VMS = st.none() | st.builds(
    replace,
    st.just(VM),
    uuid=UUIDS,
    disks=st.sampled_from([(), ("d-1.1.qcow2",), ("d-1.2.qcow2",)]),
    ownership=st.sampled_from([OURS, replace(OURS, adopted=True)]),
)
KNOWN = st.builds(
    lambda record, use, busy, unmade, temporary, ended: Known(
        {"d-1": record} if record else {},
        {"d-1": replace(use, uuid=record.uuid)} if record else {},
        frozenset({"d-1"} if busy else ()),
        frozenset(unmade),
        frozenset(temporary),
        frozenset({OURS.job} if ended else ()),
    ),
    RECORDS, USES, st.booleans(), st.sets(UUIDS), st.sets(UUIDS), st.booleans(),
)  # fmt: skip
INVENTORIES = st.builds(
    lambda vm, disks: inventory(
        *([VM_LEFT] if vm else []), *(disk(generation) for generation in sorted(disks)), vm=vm
    ),
    VMS,
    st.sets(st.integers(0, 2)),
)


def acted(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.remedy is not Remedy.NONE]


@given(INVENTORIES, KNOWN, KNOWN)
def test_only_what_both_readings_say_is_found(found: Inventory, one: Known, two: Known) -> None:
    said = compare(found, one, two)
    assert set(said) <= set(compare(found, one, one)) & set(compare(found, two, two))


@given(INVENTORIES, KNOWN)
def test_what_is_in_hand_is_left_alone(found: Inventory, records: Known) -> None:
    use = records.uses.get("d-1")
    if "d-1" in records.busy or (use and use.use in (Use.WORK, Use.PREPARING)):
        assert compare(found, records, records) == []


@given(INVENTORIES, KNOWN)
def test_nothing_is_removed_that_a_user_may_have(found: Inventory, records: Known) -> None:
    """A whole VM without record is kept, so is every member of a collection."""
    for finding in acted(compare(found, records, records)):
        whole = finding.vm is not None and not found.missing_disks(finding.vm)
        if finding.remedy is not Remedy.REMOVE:
            continue
        if finding.record is None:
            assert not whole or (finding.vm is not None and finding.vm.uuid in records.temporary)
        else:
            assert finding.record.collection == ""
            unfinished = parse_reason(finding.use.reason)[0] if finding.use else ""
            assert unfinished == "UnfinishedVm" or finding.record.uuid in records.unmade


@given(INVENTORIES, KNOWN)
def test_the_disk_in_use_is_never_deleted(found: Inventory, records: Known) -> None:
    for finding in compare(found, records, records):
        if finding.remedy is Remedy.DELETE_DISK:
            assert finding.vm is not None
            assert finding.name not in finding.vm.disks
            assert finding.record is not None
            assert generation_of(finding.name) != finding.record.generation
