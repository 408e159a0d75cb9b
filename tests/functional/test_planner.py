"""Plan before apply: what is said is what happens, and nothing happens meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import pywbem
from lxml import etree

from fakes.cimxml_client import connect
from fakes.guards import OpenGuard
from fakes.provisioning_rig import FAST, POOL, Rig, create, later, now
from openrdms.adapters import simulator
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import Use
from openrdms.model.errors import RdmsError, WbemCode
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.plan import Plan, PlannedChange, parse_plan
from openrdms.model.provisioning import JobDocument, render_job
from openrdms.model.reason import ReasonCode
from openrdms.providers.interop import Server
from openrdms.providers.namespaces import make_namespaces
from openrdms.providers.openrdms import PlannedServices, PlannerProvider
from openrdms.providers.schema import OPENRDMS
from openrdms.services.collections import Collections
from openrdms.services.draining import Draining
from openrdms.services.moving_desktops import MovingDesktops
from openrdms.services.releasing import Releasing

_SCHEMA = etree.XMLSchema(
    etree.fromstring((resources.files("openrdms.model") / "plan.xsd").read_bytes())
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, FAST + "&users=0&capacity=20").resume()
    rig.add_collection()
    yield rig
    rig.close()


def dump(rig: Rig) -> dict[str, Any]:
    """All records, all images, and the simulator's truth.

    Only what the last job measured is left out: it is recorded after the job has ended.
    """
    state = rig.simulator.parent / "state"
    with closing(sqlite3.connect(state / "records.sqlite", timeout=10)) as records:
        names = [name for (name,) in records.execute("SELECT name FROM sqlite_master")]
        tables = {
            name: sorted(records.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for (name,) in records.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    del tables["step_times"]
    files = sorted(str(path) for path in (state / "images").rglob("*"))
    return {**tables, "names": sorted(names), "files": files, "truth": rig.truth()}


def planned_services(rig: Rig) -> PlannedServices:
    moving = MovingDesktops(rig.store, rig.hosts, rig.health, rig.uses)
    return PlannedServices(
        rig.provisioning,
        rig.patching,
        moving,
        Releasing(rig.store, rig.hosts, rig.uses),
        Draining(rig.store, rig.hosts, rig.uses, moving),
        Collections(rig.store, rig.hosts, rig.uses),
    )


def plan(rig: Rig, document: JobDocument, *, new: bool = False) -> Plan:
    """The plan, after which everything is as before."""
    before = dump(rig)
    text = rig.provisioning.plan(render_job(document), new=new)
    assert dump(rig) == before
    _SCHEMA.assertValid(etree.fromstring(text))
    return parse_plan(text)


def where(found: Any) -> dict[str, str]:
    return {one.name: one.host for one in found.desktops}


def test_a_create_does_what_its_plan_said(rig: Rig) -> None:
    document = create([("host2", 2), ("", 7)])
    foreseen = plan(rig, document)
    assert (foreseen.refusal, foreseen.image, foreseen.seconds) == ("", "tiny@1", None)
    assert foreseen.basis.startswith("never measured: ")
    assert [(host.name, host.desktops) for host in foreseen.hosts] == [
        ("host1.sim.local", 3),
        ("host2.sim.local", 3),
        ("host3.sim.local", 3),
    ]
    assert {one.reason for one in foreseen.desktops[:2]} == {ReasonCode.AS_ASKED}
    assert {one.reason for one in foreseen.desktops[2:]} == {ReasonCode.LEAST_LOADED}
    image = rig.images.resolve("image:tiny")
    assert foreseen.hosts[0].bytes_at_most == 3 * image.virtual_bytes
    assert foreseen.hosts[0].memory_mib == 3 * image.memory_mib
    assert foreseen.hosts[0].copy_bytes == 0
    report = rig.run(document)
    assert where(report) == where(foreseen)
    measured = plan(rig, later(JobAction.UPDATE, hosts=document.hosts))
    assert measured.seconds is not None
    assert "boot" in measured.basis
    assert measured.desktops[0].name == "pool-10"


def test_over_cim_xml(rig: Rig) -> None:
    provider = PlannerProvider(planned_services(rig))
    server = Server("broker.test", "1.2.3")
    client = connect(CimXmlServer(make_namespaces({}, [], [], [provider], OpenGuard(), server)))
    planner = pywbem.CIMClassName("OpenRDMS_Planner", namespace=OPENRDMS)
    given = {"JobInputXml": render_job(create([("", 2)])), "NewCollection": False}
    given |= {"WaitForUsers": None}
    value, outputs = client.InvokeMethod("Plan", planner, **given)
    assert (value, len(parse_plan(outputs["PlanXml"]).desktops)) == (0, 2)
    value, _ = client.InvokeMethod("Plan", planner, **given | {"JobInputXml": "<none/>"})
    assert value == WbemCode.INVALID_PARAMETER
    value, outputs = client.InvokeMethod("PlanDeletion", planner, CollectionAlias=POOL)
    assert (value, parse_plan(outputs["PlanXml"]).action) == (0, PlannedChange.REMOVE)
    rig.run(create([("host1", 1)]))
    value, _ = client.InvokeMethod("PlanDeletion", planner, CollectionAlias=POOL)
    assert value == WbemCode.INVALID_OPERATION
    move = {"VMName": "pool-1", "DestinationHost": "host2"}
    value, outputs = client.InvokeMethod("PlanMove", planner, **move)
    assert (value, parse_plan(outputs["PlanXml"]).desktops[0].host) == (0, "host2.sim.local")
    prep = {"VMHostName": "host1", "VMName": "none", "ExportToLocation": "x", "bSysPrep": True}
    value, outputs = client.InvokeMethod("PlanPrep", planner, CollectionAlias=None, **prep)
    assert (value, parse_plan(outputs["PlanXml"]).reason) == (0, ReasonCode.NOT_AS_ASKED)


def test_a_collection_that_is_to_be_created_first(rig: Rig) -> None:
    document = create([("", 1)], collection="New", name_prefix="new-")
    assert plan(rig, document).reason == ReasonCode.NOT_AS_ASKED
    assert where(plan(rig, document, new=True)) == {"new-1": "host1.sim.local"}
    assert plan(rig, create(), new=True).refusal == f"there is a collection {POOL!r}"
    full = create([("", 1)], collection="New", name_prefix="new-", disk_kind=DiskKind.FULL)
    assert plan(rig, full, new=True).hosts[0].bytes_at_first > 0


def test_a_file_is_not_imported_for_a_plan(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "golden disk.raw"
    file.write_bytes(b"x" * 4096)
    foreseen = plan(rig, create([("", 1)], base_vm_location=str(file)))
    assert foreseen.image == "golden-disk@0"
    assert foreseen.hosts[0].copy_bytes == 4096
    missing = plan(rig, create([("", 1)], base_vm_location=str(tmp_path / "none.raw")))
    assert missing.refusal.startswith("BaseVmLocation: ")


def test_who_would_be_logged_off(rig: Rig) -> None:
    rig.run(create([("host1", 3)]))
    held = rig.store.take_ready(POOL, "CONTOSO\\anna", now())
    assert held is not None
    assert held.use is Use.TAKEN
    for action in (JobAction.PATCH, JobAction.DELETE):
        foreseen = plan(rig, later(action))
        assert foreseen.users == ("CONTOSO\\anna",)
        assert [one.name for one in foreseen.desktops if one.user] == [held.name]
    assert foreseen.hosts[0].bytes_at_most == 0
    patient = parse_plan(rig.provisioning.plan(render_job(later(JobAction.PATCH)), patient=True))
    assert (patient.users, patient.awaited) == ((), ("CONTOSO\\anna",))
    assert [one.name for one in patient.desktops if one.awaited] == [held.name]
    assert plan(rig, later(JobAction.PATCH)).hosts[0].memory_mib > 0


def test_an_update_is_planned_although_a_host_is_away(rig: Rig) -> None:
    rig.run(create([("host1", 1), ("host2", 1)]))
    simulator.set_fault(rig.simulator, "host2.sim.local", fault="down")
    document = later(JobAction.PATCH)
    foreseen = parse_plan(rig.provisioning.plan(render_job(document)))
    assert (foreseen.refusal, len(foreseen.desktops)) == ("", 2)
    [warning] = foreseen.warnings
    assert warning.startswith("host2.sim.local is away and waited for: ")
    guid = rig.execute(document)
    rig.wait_until(lambda: "HostAway" in {one.code for one in rig.report(guid).desktops})
    simulator.set_fault(rig.simulator, "host2.sim.local", fault="")
    assert rig.wait(guid).succeeded == 2


REFUSED: dict[str, tuple[Callable[[], JobDocument], ReasonCode, str]] = {
    "no room": (
        lambda: create([("host1", 21)]),
        ReasonCode.NO_CAPACITY,
        "NumberVms: host1.sim.local has room for 20 more (0 of 20 VMs)",
    ),
    "unknown host": (lambda: create([("host9", 1)]), ReasonCode.NOT_AS_ASKED, "host9"),
    "no image": (
        lambda: create(base_vm_location="image:none"),
        ReasonCode.NOT_AS_ASKED,
        "BaseVmLocation",
    ),
    "no Create yet": (lambda: later(JobAction.PATCH), ReasonCode.NOT_NOW, "had no Create job"),
    "no such desktop": (
        lambda: later(JobAction.DELETE, "pool-9"),
        ReasonCode.NOT_AS_ASKED,
        "pool-9",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_foreseen_in_the_words_of_the_job(rig: Rig, case: str) -> None:
    document, reason, words = REFUSED[case]
    foreseen = plan(rig, document())
    assert words in foreseen.refusal
    assert (foreseen.reason, foreseen.hosts, foreseen.desktops) == (reason, (), ())
    with pytest.raises(RdmsError) as refused:
        rig.execute(document())
    assert str(refused.value) == foreseen.refusal


def test_no_memory_left(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FAST + "&users=0&memory_mib=1024").resume()
    try:
        rig.add_collection()
        need = rig.images.resolve("image:tiny").memory_mib
        fits = 1024 // need
        foreseen = plan(rig, create([("host1", fits + 1)]))
        assert foreseen.reason == ReasonCode.NO_MEMORY
        assert f"host1.sim.local has memory for {fits} more (1024 MiB, {need} MiB each)" in (
            foreseen.refusal
        )
        assert plan(rig, create([("host1", fits + 1)], start=False)).refusal == ""
        assert rig.run(create([("host1", fits)])).succeeded == fits
        assert plan(rig, later(JobAction.UPDATE, hosts=create([("host1", 1)]).hosts)).refusal
    finally:
        rig.close()


def test_of_two_jobs_accepted_at_once_one_gets_the_last_room(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FAST.replace("hosts=3", "hosts=1") + "&users=0&capacity=3")
    try:
        guids = []
        for alias in ("A", "B"):
            rig.add_collection(alias, CollectionType.POOLED)
            document = create([("", 2)], collection=alias, name_prefix=f"{alias}-")
            guids.append(rig.execute(document))  # nothing is planned yet: no job runs
        rig.resume()
        reports = [rig.wait(guid) for guid in guids]
        assert sorted(report.succeeded for report in reports) == [0, 2]
        (failed,) = [rig.job(one.job_guid) for one in reports if not one.succeeded]
        assert "host1.sim.local has room for 1 more" in failed.error
        assert len(rig.vms()) == 2
    finally:
        rig.close()
