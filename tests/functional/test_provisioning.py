"""Jobs that go well: Create, Update, Patch, Delete, on the simulator."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dbos import DBOS

from fakes.provisioning_rig import FAST, POOL, Faults, Rig, create, later
from live.service import until
from openrdms.adapters import simulator
from openrdms.jobs import engine
from openrdms.jobs.engine import WORKFLOW_VERSION
from openrdms.model import errors
from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction, JobDesktop, VmStatus
from openrdms.model.provisioning import HostAllocation
from openrdms.services.provisioning import service


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path).resume()
    rig.add_collection()
    yield rig
    rig.close()


def hostnames(rig: Rig) -> dict[str, str]:
    """What the guests call themselves, by VM, past the service."""
    return {vm["name"]: vm["state"] for host in rig.truth()["hosts"] for vm in host["vms"]}


def test_create_makes_desktops_where_they_were_asked_for(rig: Rig) -> None:
    report = rig.run(create([("HOST1", 2), ("host2.sim.local", 1), ("host1.sim.local", 1)]))
    assert report.state is CollectionState.JOB_COMPLETED is rig.state()
    assert (report.requested, report.succeeded, report.failed, report.percent) == (4, 4, 0, 100)
    assert [(d.name, d.host, d.status, d.error) for d in report.desktops] == [
        ("pool-1", "host1.sim.local", VmStatus.COMPLETE, ""),
        ("pool-2", "host1.sim.local", VmStatus.COMPLETE, ""),
        ("pool-3", "host2.sim.local", VmStatus.COMPLETE, ""),
        ("pool-4", "host1.sim.local", VmStatus.COMPLETE, ""),
    ]
    assert hostnames(rig) == dict.fromkeys([f"pool-{n}" for n in range(1, 5)], "running")
    assert rig.orphans() == []


def test_nothing_is_left_in_memory_of_a_job_that_has_ended(rig: Rig) -> None:
    gc.disable()  # what only Python's search for cycles finds stays for long
    try:
        guid = rig.execute(create())
        rig.wait(guid)
        until("its rows are gone", lambda: not _find_rows(guid))
    finally:
        gc.enable()


def _find_rows(guid: str) -> list[JobDesktop]:
    rows = [found for found in gc.get_objects() if type(found) is JobDesktop]
    return [row for row in rows if row.job == guid]


def test_records_say_what_was_made(rig: Rig) -> None:
    guid = rig.execute(create(domain="corp.example.org", ou="OU=Desks,DC=corp", start_index=7))
    report = rig.wait(guid)
    assert [d.note for d in report.desktops] == ["not joined to corp.example.org"] * 2
    assert [d.error for d in report.desktops] == ["", ""]
    desktops = rig.store.list_desktops(POOL)
    assert [d.name for d in desktops] == ["pool-7", "pool-8"]
    assert {(d.home, d.image, d.generation, d.identity_set) for d in desktops} == {
        (POOL, "tiny@1", 1, True)
    }
    assert len({d.mac for d in desktops} | {str(d.uuid) for d in desktops}) == 4
    settings = rig.store.find_provisioning(POOL)
    assert settings is not None
    assert (settings.name_start_index, settings.domain, settings.ou) == (
        9,
        "corp.example.org",
        "OU=Desks,DC=corp",
    )
    collection = rig.store.find_collection(POOL)
    assert collection is not None
    assert collection.job_guid == guid


def test_update_goes_on_counting_and_skips_taken_names(rig: Rig) -> None:
    rig.run(create())
    simulator.add_stranger(rig.simulator, "host3.sim.local", "POOL-4")
    report = rig.run(later(JobAction.UPDATE, hosts=(HostAllocation("host2", 2),)))
    assert [d.name for d in report.desktops] == ["pool-3", "pool-5"]
    settings = rig.store.find_provisioning(POOL)
    assert settings is not None
    assert settings.name_start_index == 6


@pytest.mark.parametrize("hosts", [[], [("", 6)]])
def test_service_chooses_the_least_loaded_hosts(rig: Rig, hosts: list[tuple[str, int]]) -> None:
    for number in range(3):
        simulator.add_stranger(rig.simulator, "host1.sim.local", f"other-{number}")
    report = rig.run(create(hosts))
    chosen = [d.host for d in report.desktops]
    assert chosen == ["host2.sim.local", "host3.sim.local"] * 3 if hosts else ["host2.sim.local"]


def test_no_start_leaves_desktops_off_without_identity(rig: Rig) -> None:
    report = rig.run(create(start=False))
    assert report.succeeded == 2
    assert set(hostnames(rig).values()) == {"stopped"}
    assert {d.identity_set for d in rig.store.list_desktops(POOL)} == {False}
    assert rig.orphans() == []


def test_personal_collections_get_full_clones(rig: Rig) -> None:
    rig.add_collection("Own", CollectionType.AUTO_PERSONAL)
    document = create(collection="own", disk_kind=DiskKind.FULL, name_prefix="own-")
    assert rig.run(document).succeeded == 2
    assert {d.disk_kind for d in rig.store.list_desktops("Own")} == {DiskKind.FULL}


def test_patch_exchanges_disks_and_leaves_off_what_was_off(rig: Rig) -> None:
    rig.run(create())
    host = rig.hosts.get("host1")
    host.destroy("pool-2")
    before = rig.store.list_desktops(POOL)
    report = rig.run(later(JobAction.PATCH, base_vm_location="image:tiny@1"))
    assert (report.state, report.succeeded) == (CollectionState.JOB_COMPLETED, 2)
    assert rig.vms() == {"pool-1": ["pool-1.2.qcow2"], "pool-2": ["pool-2.2.qcow2"]}
    assert rig.files() == ["pool-1.2.qcow2", "pool-2.2.qcow2"]
    assert hostnames(rig) == {"pool-1": "running", "pool-2": "stopped"}
    expected = [replace(before[0], generation=2)]
    expected += [replace(before[1], generation=2, identity_set=False)]
    assert rig.store.list_desktops(POOL) == expected
    settings = rig.store.find_provisioning(POOL)
    assert settings is not None
    assert settings.base_vm_location == "image:tiny@1"
    assert rig.orphans() == []


def test_patch_of_one_leaves_the_others(rig: Rig) -> None:
    rig.run(create())
    rig.run(later(JobAction.PATCH, "POOL-2"))
    assert rig.vms() == {"pool-1": ["pool-1.1.qcow2"], "pool-2": ["pool-2.2.qcow2"]}


def test_delete_of_all_takes_former_members_and_no_strangers(rig: Rig) -> None:
    rig.run(create())
    desktop = rig.store.list_desktops(POOL)[0]
    rig.store.put_desktops([replace(desktop, collection="")])
    simulator.add_stranger(rig.simulator, "host1.sim.local", "stranger")
    report = rig.run(later(JobAction.DELETE))
    assert (report.state, report.succeeded) == (CollectionState.JOB_COMPLETED, 2)
    assert list(rig.vms()) == ["stranger"]
    assert rig.store.list_desktops() == []
    assert [d.undone for d in report.desktops] == [(), ()]
    assert rig.orphans() == []


def test_delete_leaves_what_another_collection_has_now(rig: Rig) -> None:
    rig.run(create())
    rig.add_collection("Lent", managed=False)
    rig.store.change_desktop("pool-1", lambda one: one and replace(one, collection="Lent"))
    with pytest.raises(errors.NotFound, match="pool-1"):
        rig.execute(later(JobAction.DELETE, "pool-1"))
    assert rig.run(later(JobAction.DELETE)).succeeded == 1
    assert list(rig.vms()) == ["pool-1"]
    with pytest.raises(errors.InvalidOperation, match="pool-1"):
        rig.store.delete_collection(POOL)


def test_delete_of_some(rig: Rig) -> None:
    rig.run(create())
    rig.run(later(JobAction.DELETE, "Pool-1", "pool-1"))
    assert list(rig.vms()) == ["pool-2"]


def test_delete_of_an_empty_collection_completes(rig: Rig) -> None:
    report = rig.run(later(JobAction.DELETE))
    assert (report.state, report.requested) == (CollectionState.JOB_COMPLETED, 0)


def test_jobs_are_listed_by_state_and_collection(rig: Rig) -> None:
    rig.add_collection("Other")
    first = rig.execute(create())
    assert rig.provisioning.list_guids(running=True, collection="pool") == [first]
    rig.wait(first)
    second = rig.execute(create(collection="Other", name_prefix="other-"))
    rig.wait(second)
    assert rig.provisioning.list_guids(running=True) == []
    assert rig.provisioning.list_guids(running=False) == [first, second]
    assert rig.provisioning.list_guids(running=False, collection="OTHER") == [second]


def test_what_a_newer_service_accepted_before_it_died_waits_for_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(service, "WORKFLOW_VERSION", WORKFLOW_VERSION + 1)
        guid = rig.execute(create())  # our engine does not begin it
    rig.provisioning.resume_jobs()
    assert DBOS.get_workflow_status(guid) is None
    monkeypatch.setattr(engine, "WORKFLOW_VERSION", WORKFLOW_VERSION + 1)
    rig.provisioning.resume_jobs()
    assert rig.wait(guid).state is CollectionState.JOB_COMPLETED


def test_state_and_report_outlive_the_service(tmp_path: Path) -> None:
    rig = Rig(tmp_path).resume()
    rig.add_collection()
    guid = rig.execute(create())
    before = rig.wait(guid)
    rig.close()
    again = Rig(tmp_path).resume()
    assert again.report(guid.strip("{}").lower()) == before
    assert again.state() is CollectionState.JOB_COMPLETED
    again.close()


@pytest.mark.parametrize("boot", ["boot_ms=10", "boot_ms=1500"])
def test_waiting_for_agents_takes_no_ticks(tmp_path: Path, boot: str) -> None:
    """A boot of 1.5 s is noticed by its event: no ping is sent in between."""
    faults = Faults()
    parameters = FAST.replace("boot_ms=10", boot)
    rig = Rig(tmp_path, parameters, wrap_host=faults.wrap).resume()
    rig.add_collection()
    rig.run(create())
    assert faults.calls.count(("ping", "pool-1")) == 1
    rig.close()
