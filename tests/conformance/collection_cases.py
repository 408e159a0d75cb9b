"""Methods of collections of virtual desktops: members, keys, updates, jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from conformance.case import (
    ABSENT,
    INVALID,
    INVALID_OPERATION,
    NEVER,
    UNSET,
    Bad,
    Call,
    Case,
    Returns,
    ask_key,
    check_key,
    check_value,
    later,
)
from conformance.speakers import Answer
from conformance.world import World
from live.rollout import COLLECTION, DESKTOP, job_document
from live.service import rdms, until

PROPERTIES = "Win32_RDMSCollectionProperties"

# --- Win32_RDMSCollectionProperties


def _check_provisioning(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs["PoolVhdType"] == "DiffDisk"
    assert answer.outputs["NamePrefix"] == f"{w.pool}-"
    assert answer.outputs["NameStartIndex"] == w.next_index
    assert answer.outputs["VmDomain"] == "corp.example"
    assert answer.outputs["MasterVmLocation"]


COLLECTION_PROPERTIES = [
    Case(
        PROPERTIES,
        "GetProvisioningProperties",
        lambda w: ({"Alias": w.pool}, {}),
        _check_provisioning,
    )
]

# --- Win32_RDMSVirtualDesktopCollection


def _free_vm(w: World) -> Call:
    return {"Alias": w.personal}, {"VMName": w.new_stranger()}


def _member(w: World) -> Call:
    call = _free_vm(w)
    w.set_up(COLLECTION, "AddVirtualDesktop", *call)
    return call


def _collection_of(w: World, vm: str) -> Any:
    return w.other.get(DESKTOP, {"Name": vm})["CollectionAlias"]


def _check_member(w: World, call: Call, answer: Answer) -> None:
    assert _collection_of(w, call[1]["VMName"]) == w.personal


def _check_no_member(w: World, call: Call, answer: Answer) -> None:
    assert _collection_of(w, call[1]["VMName"]) == ""


def _scheduled(w: World) -> Call:
    start = later(hours=2)
    return {"Alias": w.new_pool()}, {
        "StartTime": start,
        "ForceLogOffTime": start + timedelta(hours=1),
        "JobInputXml": job_document("Patch", w.last_pool),
    }


def _with_schedule(w: World) -> Call:
    keys, w.memory = _scheduled(w)
    w.set_up(COLLECTION, "SchedulePatch", keys, w.memory)
    return keys, {}


def _check_schedule(w: World, call: Call, answer: Answer) -> None:
    found = w.read(COLLECTION, "GetPatchProperties", call[0], {})
    assert (found["StartTime"], found["ForceLogOffTime"]) == (
        call[1]["StartTime"],
        call[1]["ForceLogOffTime"],
    )
    assert found["JobGuid"]
    assert _state(w, w.last_pool) == 6


def _check_patch(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs["StartTime"] == w.memory["StartTime"]
    assert answer.outputs["ForceLogOffTime"] == w.memory["ForceLogOffTime"]


def _check_patch_cancelled(w: World, call: Call, answer: Answer) -> None:
    assert _state(w, w.last_pool) == 8


def _state(w: World, alias: str) -> Any:
    key = {"Key": "CollectionState"}
    return w.read(COLLECTION, "GetInt32Property", {"Alias": alias}, key)["Value"]


def _running_job(w: World) -> Call:
    return None, {"JobGuid": w.begin_slow_job()}


def _job_state(w: World, guid: str) -> str:
    return str(rdms("job", "show", guid, *w.login)["State"])


def _check_cancelled(w: World, call: Call, answer: Answer) -> None:
    guid = call[1]["JobGuid"]
    until("the job is undone", lambda: _job_state(w, guid) == "JOB_ABORTED")
    assert w.service.find_orphans() == []


def _new_job(w: World) -> Call:
    alias = w.new_collection()
    return None, {
        "JobInputXml": job_document("Create", alias, prefix=f"{alias}-", count=1, host=w.host)
    }


def _check_executed(w: World, call: Call, answer: Answer) -> None:
    guid = answer.outputs["JobGuid"]
    until("the job ends", lambda: _job_state(w, guid) == "JOB_COMPLETED")


def _check_report(w: World, call: Call, answer: Answer) -> None:
    assert all(name in answer.outputs["JobReportXml"] for name in w.desktops)


def _check_jobs(w: World, call: Call, answer: Answer) -> None:
    assert w.job in answer.outputs["JobGuids"]


def _prep(w: World) -> Call:
    return None, {
        "CollectionAlias": "",
        "VMHostName": w.host,
        "VMName": w.stopped_stranger(),
        "ExportToLocation": w.fresh("prepared"),
        "bSysPrep": True,
        "MachineName": "",
        "UserName": "",
        "Password": "",
    }


def _check_prepared(w: World, call: Call, answer: Answer) -> None:
    guid = answer.outputs["JobGuid"]
    until("the job ends", lambda: _job_state(w, guid) == "JOB_COMPLETED")
    images = rdms("image", "list", "--state-dir", w.service.state_dir)
    assert [image for image in images if image["source"].endswith(call[1]["ExportToLocation"])]


ABSENT_GUID = "{01234567-89AB-CDEF-0123-456789ABCDEF}"
_NO_JOB = [
    Bad("no such job", {"JobGuid": ABSENT_GUID}, ABSENT),
    Bad("no GUID", {"JobGuid": "7"}, INVALID),
]

COLLECTIONS = [
    Case(
        COLLECTION,
        "AddVirtualDesktop",
        _free_vm,
        _check_member,
        [Bad("no VM", {"VMName": "nothing"}, ABSENT)],
    ),
    Case(
        COLLECTION,
        "RemoveVirtualDesktop",
        _member,
        _check_no_member,
        [Bad("no VM", {"VMName": "nothing"}, ABSENT)],
    ),
    Case(
        COLLECTION,
        "GetInt32Property",
        ask_key("GetInt32Property", "MaxMonitors", 2, COLLECTION, "pool"),
        check_value(2),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        COLLECTION,
        "GetStringProperty",
        ask_key("GetStringProperty", "ExportInProgress", "gold", COLLECTION, "pool"),
        check_value("gold"),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        COLLECTION,
        "SetInt32Property",
        lambda w: ({"Alias": w.pool}, {"Key": "DeviceRedirectionOptions", "Value": 187}),
        check_key("GetInt32Property", COLLECTION),
        [
            Bad("read-only", {"Key": "CollectionState", "Value": 0}, Returns(INVALID_OPERATION)),
            Bad("out of range", {"Key": "RedirectClientPrinter", "Value": 9}, INVALID),
            Bad("empty key", {"Key": ""}, INVALID),
            Bad("NULL", {"Value": None}, INVALID),
        ],
    ),
    Case(
        COLLECTION,
        "SetStringProperty",
        lambda w: ({"Alias": w.pool}, {"Key": "ExportInProgress", "Value": "template"}),
        check_key("GetStringProperty", COLLECTION),
        [
            Bad("read-only", {"Key": "ProvisioningJobId"}, Returns(INVALID_OPERATION)),
            Bad("key of numbers", {"Key": "MaxMonitors"}, INVALID),
        ],
    ),
    Case(
        COLLECTION,
        "SchedulePatch",
        _scheduled,
        _check_schedule,
        [
            Bad("force before start", {"ForceLogOffTime": later(hours=1)}, INVALID),
            Bad("no document", {"JobInputXml": "<a/>"}, INVALID),
        ],
    ),
    Case(COLLECTION, "GetPatchProperties", _with_schedule, _check_patch),
    Case(COLLECTION, "CancelPatch", _with_schedule, _check_patch_cancelled),
    Case(
        COLLECTION,
        "ProvisioningJobExecute",
        _new_job,
        _check_executed,
        [
            Bad("no document", {"JobInputXml": "<a/>"}, INVALID),
            Bad("not XML", {"JobInputXml": "a & b"}, INVALID),
            Bad("no collection", {"JobInputXml": job_document("Delete", "nowhere")}, ABSENT),
        ],
    ),
    Case(COLLECTION, "ProvisioningJobCancel", _running_job, _check_cancelled, _NO_JOB),
    Case(
        COLLECTION,
        "ProvisioningJobGetReport",
        lambda w: (None, {"JobGuid": w.job}),
        _check_report,
        _NO_JOB,
    ),
    Case(
        COLLECTION,
        "ProvisioningEnumerateJobs",
        lambda w: (None, {"JobType": 1, "CollectionAlias": w.pool}),
        _check_jobs,
        [Bad("no type", {"JobType": 7}, INVALID)],
    ),
    Case(
        COLLECTION,
        "ProvisioningPrepJob",
        _prep,
        _check_prepared,
        [
            Bad("no host", {"VMHostName": "nowhere.example"}, ABSENT),
            Bad("no VM", {"VMName": "nothing"}, ABSENT),
        ],
    ),
]
