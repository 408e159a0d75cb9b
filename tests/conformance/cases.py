"""Every method of the interface once as it should be called, and with what it must refuse.

A call is (keys, parameters); keys are None for a static method. The check reads the effect back
by other means: the other protocol, the command line, the simulator's own truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from conformance.speakers import NOT_FOUND as CIM_NOT_FOUND
from conformance.speakers import Answer
from conformance.world import World
from live.rollout import COLLECTION, DESKTOP, SESSION, job_document
from live.service import rdms, until

PROPERTIES = "Win32_RDMSCollectionProperties"
SETTINGS = "Win32_RDMSDeploymentSettings"
ASSIGNMENT = "Win32_RDMSDesktopAssignment"
ENVIRONMENT = "Win32_RDMSEnvironment"
NODE = "Win32_RDMSJoinedNode"
MANAGEMENT = "Win32_RDMSManagementData"
RDSH = "Win32_RDSHCollection"
SERVER = "Win32_RDSHServer"

NOT_FOUND, INVALID_PARAMETER, INVALID_OPERATION = 0x80041002, 0x80041008, 0x80041016
ALREADY_EXISTS = 0x80041019
SESSION_GONE = 1168
ABSENT_GUID = "{01234567-89AB-CDEF-0123-456789ABCDEF}"

Keys = Mapping[str, Any] | None
Values = Mapping[str, Any]
Call = tuple[Keys, Values]


@dataclass(frozen=True)
class Returns:
    """A refusal by ReturnValue."""

    code: int


@dataclass(frozen=True)
class Faults:
    """A refusal by fault with this CIM status."""

    status: int


@dataclass(frozen=True)
class Bad:
    """What to change of the good call, and the answer to that."""

    what: str
    values: Values
    expected: Returns | Faults
    keys: Keys = None


@dataclass(frozen=True)
class Case:
    """One method."""

    name: str
    method: str
    call: Callable[[World], Call]
    check: Callable[[World, Call, Answer], None]
    bad: Sequence[Bad] = field(default=())


def later(**delta: float) -> datetime:
    return (datetime.now(UTC) + timedelta(**delta)).replace(microsecond=0)


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

# --- Win32_RDMSDeploymentSettings


def _path_pair(name: str) -> list[Case]:
    """Get…Path and Set…Path."""

    def get(w: World) -> Call:
        w.set_up(SETTINGS, f"Set{name}", None, {"DirectoryPath": str(w.directory)})
        return None, {}

    def check_got(w: World, call: Call, answer: Answer) -> None:
        assert answer.outputs == {"DirectoryPath": str(w.directory)}

    def check_set(w: World, call: Call, answer: Answer) -> None:
        assert w.read(SETTINGS, f"Get{name}", None, {}) == call[1]

    return [
        Case(SETTINGS, f"Get{name}", get, check_got),
        Case(
            SETTINGS,
            f"Set{name}",
            lambda w: (None, {"DirectoryPath": str(w.new_directory())}),
            check_set,
            [
                Bad("no such directory", {"DirectoryPath": "/nowhere/at/all"}, _INVALID),
                Bad("relative", {"DirectoryPath": "exports"}, _INVALID),
                Bad("NULL", {"DirectoryPath": None}, _INVALID),
                Bad("UNC", {"DirectoryPath": r"\\server\share"}, _INVALID),
            ],
        ),
    ]


_INVALID = Returns(INVALID_PARAMETER)
_UNSET = Faults(CIM_NOT_FOUND)
_ABSENT = Returns(NOT_FOUND)


def _connection_pair(name: str, parameter: str) -> list[Case]:
    """Get…ConnectionString and Set…ConnectionString."""
    shared = "Driver=ODBC;Server={};Uid=rds;Pwd=s3cret;Database=rds"

    def prepare(w: World) -> Call:
        first = {"ConnectionString": shared.format("one")}
        w.set_up(SETTINGS, "SetConnectionString", None, first)
        return None, {parameter: shared.format(f"{name}.example")}

    def get(w: World) -> Call:
        w.set_up(SETTINGS, f"Set{name}", *prepare(w))
        return None, {}

    def check_got(w: World, call: Call, answer: Answer) -> None:
        assert answer.outputs == {parameter: shared.format(f"{name}.example")}

    def check_set(w: World, call: Call, answer: Answer) -> None:
        assert w.read(SETTINGS, f"Get{name}", None, {}) == call[1]

    return [
        Case(SETTINGS, f"Get{name}", get, check_got),
        Case(
            SETTINGS,
            f"Set{name}",
            prepare,
            check_set,
            [Bad("not a connection string", {parameter: "no pairs"}, _INVALID)],
        ),
    ]


def _setting(method: str, key: str, value: Any) -> Callable[[World], Call]:
    """Set the key, then ask for it by ``method``."""

    def call(w: World) -> Call:
        w.set_up(SETTINGS, method.replace("Get", "Set"), None, {"Key": key, "Value": value})
        return None, {"Key": key}

    return call


def _check_value(expected: Any) -> Callable[[World, Call, Answer], None]:
    def check(w: World, call: Call, answer: Answer) -> None:
        assert answer.outputs == {"Value": expected}

    return check


def _check_setting(method: str) -> Callable[[World, Call, Answer], None]:
    def check(w: World, call: Call, answer: Answer) -> None:
        assert w.read(SETTINGS, method, None, {"Key": call[1]["Key"]}) == {
            "Value": call[1]["Value"]
        }

    return check


def _check_removed(w: World, call: Call, answer: Answer) -> None:
    w.expect(Faults(CIM_NOT_FOUND), SETTINGS, "GetInt32Property", None, call[1])


_NEVER = {"Key": "NeverSetByAnybody"}

DEPLOYMENT_SETTINGS = [
    *(
        case
        for name in ("BaseVHDPath", "DiffVHDPath", "ExportPath", "SMBPath")
        for case in _path_pair(name)
    ),
    *_connection_pair("ConnectionString", "ConnectionString"),
    *_connection_pair("SecondaryConnectionString", "SecondaryConnectionString"),
    Case(
        SETTINGS,
        "GetInt32Property",
        _setting("GetInt32Property", "DeploymentGatewayUsage", 2),
        _check_value(2),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        SETTINGS,
        "GetStringProperty",
        _setting("GetStringProperty", "DeploymentGatewayName", "gate.corp.example"),
        _check_value("gate.corp.example"),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        SETTINGS,
        "GetStringArrayDeploymentSetting",
        _setting("GetStringArrayDeploymentSetting", "LicenseServers", ["one", "two"]),
        _check_value(["one", "two"]),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        SETTINGS,
        "SetInt32Property",
        lambda w: (None, {"Key": "DeploymentGatewayAuthMode", "Value": 4}),
        _check_setting("GetInt32Property"),
        [
            Bad("out of range", {"Value": 77}, _INVALID),
            Bad("empty key", {"Key": ""}, _INVALID),
            Bad("key of strings", {"Key": "DeploymentGatewayName"}, _INVALID),
        ],
    ),
    Case(
        SETTINGS,
        "SetStringProperty",
        lambda w: (None, {"Key": "DeploymentGatewayName", "Value": "other.corp.example"}),
        _check_setting("GetStringProperty"),
        [
            Bad("empty key", {"Key": ""}, _INVALID),
            Bad("key of numbers", {"Key": "DeploymentGatewayUsage"}, _INVALID),
        ],
    ),
    Case(
        SETTINGS,
        "SetStringArrayDeploymentSetting",
        lambda w: (None, {"Key": "LicenseServers", "Value": ["a.example", "b.example"]}),
        _check_setting("GetStringArrayDeploymentSetting"),
        [Bad("empty key", {"Key": ""}, _INVALID)],
    ),
    Case(
        SETTINGS,
        "RemoveDeploymentSetting",
        _setting("GetInt32Property", "DeploymentGatewayUsage", 1),
        _check_removed,
        [Bad("never set", _NEVER, _ABSENT)],
    ),
]

# --- Win32_RDMSDesktopAssignment


def _assignment(w: World) -> Call:
    alias, server = w.new_personal_rdsh()
    return None, {
        "CollectionAlias": alias,
        "DesktopName": server,
        "UserDomain": "CORP",
        "UserName": w.fresh("user"),
    }


def _existing_assignment(w: World) -> Call:
    call = _assignment(w)
    w.set_up(ASSIGNMENT, "AddDesktopAssignment", *call)
    return call


def _check_assigned(w: World, call: Call, answer: Answer) -> None:
    assert call[1] in w.other.list(ASSIGNMENT)


def _check_unassigned(w: World, call: Call, answer: Answer) -> None:
    assert call[1] not in w.other.list(ASSIGNMENT)


ASSIGNMENTS = [
    Case(
        ASSIGNMENT,
        "AddDesktopAssignment",
        _assignment,
        _check_assigned,
        [
            Bad("no collection", {"CollectionAlias": "nowhere"}, _ABSENT),
            Bad("empty user", {"UserName": ""}, _INVALID),
            Bad("empty desktop", {"DesktopName": ""}, _INVALID),
        ],
    ),
    Case(
        ASSIGNMENT,
        "RemoveDesktopAssignment",
        _existing_assignment,
        _check_unassigned,
        [
            Bad("no collection", {"CollectionAlias": "nowhere"}, _ABSENT),
            Bad("nobody", {"UserName": "somebody-else"}, _ABSENT),
        ],
    ),
]

# --- Win32_RDMSEnvironment


def _check_active(w: World, call: Call, answer: Answer) -> None:
    assert w.read(ENVIRONMENT, "GetActiveServer", None, {})["ServerName"]


def _check_access_name(w: World, call: Call, answer: Answer) -> None:
    assert w.read(ENVIRONMENT, "GetClientAccessName", None, {}) == call[1]


def _get_access_name(w: World) -> Call:
    name = {"ClientAccessName": "desk.corp.example"}
    w.set_up(ENVIRONMENT, "SetClientAccessName", None, name)
    return None, {}


def _check_desk(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs == {"ClientAccessName": "desk.corp.example"}


def _check_own_name(w: World, call: Call, answer: Answer) -> None:
    own = [node["FQDN"] for node in w.other.list(NODE) if node["IsRdcb"]]
    assert [answer.outputs["ServerName"]] == own


ENVIRONMENTS = [
    Case(ENVIRONMENT, "GetActiveServer", lambda w: (None, {}), _check_own_name),
    Case(ENVIRONMENT, "SetActiveServer", lambda w: (None, {}), _check_active),
    Case(ENVIRONMENT, "GetClientAccessName", _get_access_name, _check_desk),
    Case(
        ENVIRONMENT,
        "SetClientAccessName",
        lambda w: (None, {"ClientAccessName": f"{w.fresh('rds')}.corp.example"}),
        _check_access_name,
        [
            Bad("empty", {"ClientAccessName": ""}, _INVALID),
            Bad("no name", {"ClientAccessName": "not a name!"}, _INVALID),
        ],
    ),
]

# --- Win32_RDMSJoinedNode


def _unjoined(w: World) -> Call:
    if w.spare_host in _nodes(w):
        w.set_up(NODE, "Unjoin", {"FQDN": w.spare_host}, {})
    return None, {"NodeFQDN": w.spare_host, "NodeSID": "S-1-5-21-1-2-3-1105"}


def _joined(w: World) -> Call:
    if w.spare_host not in _nodes(w):
        w.set_up(NODE, "Join", None, {"NodeFQDN": w.spare_host, "NodeSID": ""})
    return {"FQDN": w.spare_host}, {}


def _nodes(w: World) -> list[str]:
    return [node["FQDN"] for node in w.other.list(NODE)]


def _check_joined(w: World, call: Call, answer: Answer) -> None:
    node = w.other.get(NODE, {"FQDN": w.spare_host})
    assert node["SID"] == "S-1-5-21-1-2-3-1105"


def _check_left(w: World, call: Call, answer: Answer) -> None:
    assert w.spare_host not in _nodes(w)


def _check_count(w: World, call: Call, answer: Answer) -> None:
    hosts = [node for node in w.other.list(NODE) if node["IsRdvh"]]
    assert answer.outputs == {"Count": len(hosts)}


NODES = [
    Case(
        NODE,
        "Join",
        _unjoined,
        _check_joined,
        [
            Bad("no FQDN", {"NodeFQDN": "short"}, _INVALID),
            Bad("no SID", {"NodeSID": "S-nonsense"}, _INVALID),
        ],
    ),
    Case(
        NODE,
        "Unjoin",
        _joined,
        _check_left,
        [Bad("it carries desktops", {}, Returns(INVALID_OPERATION), {"FQDN": "host1.sim.local"})],
    ),
    Case(
        NODE,
        "GetJoinedNodeCount",
        lambda w: (None, {"roleType": 4}),
        _check_count,
        [Bad("no role", {"roleType": 64}, _INVALID)],
    ),
]

# --- Win32_RDMSManagementData


def _lost_feed(w: World) -> None:
    """An application whose place in the feed was lost: synchronising brings it back."""
    w.publish(w.pool)
    w.forget_feed()


def _check_feed(w: World, call: Call, answer: Answer) -> None:
    assert any(row["collection"] == w.pool for row in w.feed())


def _synchronise(values: Values) -> Callable[[World], Call]:
    def call(w: World) -> Call:
        _lost_feed(w)
        return None, dict.fromkeys(values, w.pool)

    return call


MANAGEMENT_DATA = [
    Case(MANAGEMENT, "SynchronizeAllPublishingData", _synchronise({}), _check_feed),
    Case(
        MANAGEMENT,
        "SynchronizePublishingData",
        _synchronise({"Context": ""}),
        _check_feed,
        [Bad("no collection", {"Context": "nowhere"}, _ABSENT)],
    ),
]

# --- Win32_RDMSVirtualDesktop


def _personal(w: World) -> Call:
    return {"Name": w.personal_desktop}, {"UserName": w.fresh("user"), "UserDomain": "CORP"}


def _assigned(w: World) -> Values:
    keys, user = _personal(w)
    w.set_up(DESKTOP, "RemoveUserAssignment", None, {"VMName": w.personal_desktop})
    w.set_up(DESKTOP, "SetUserAssignment", keys, user)
    return user


def _free(w: World) -> Call:
    w.set_up(DESKTOP, "RemoveUserAssignment", None, {"VMName": w.personal_desktop})
    return _personal(w)


def _get_user(w: World) -> Call:
    w.memory = _assigned(w)
    return {"Name": w.personal_desktop}, {}


def _check_user(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs == w.memory


def _get_assigned(w: World) -> Call:
    return None, {"CollectionAlias": w.personal} | dict(_assigned(w))


def _check_vm_name(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs == {"VMName": w.personal_desktop}


def _check_owner(w: World, call: Call, answer: Answer) -> None:
    found = w.other.get(DESKTOP, {"Name": w.personal_desktop})
    assert {name: found[name] for name in call[1]} == call[1]


def _remove_user(w: World) -> Call:
    _assigned(w)
    return None, {"VMName": w.personal_desktop}


def _check_nobody(w: World, call: Call, answer: Answer) -> None:
    found = w.other.get(DESKTOP, {"Name": w.personal_desktop})
    assert (found["UserName"], found["UserDomain"]) == (None, None)


def _check_details(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs["RAMSizeInMB"] > 0
    assert answer.outputs["RemoteFXEnabled"] is False


def _check_running(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs == {"VMState": 2}
    assert w.simulated_state(call[0]["Name"]) == "running"


def _check_paused(w: World, call: Call, answer: Answer) -> None:
    assert w.simulated_state(w.desktops[1]) == "paused"
    w.set_up(DESKTOP, "SetVirtualDesktopState", call[0], {"VMState": 2})
    assert w.simulated_state(w.desktops[1]) == "running"


DESKTOPS = [
    Case(DESKTOP, "GetUserAssignment", _get_user, _check_user),
    Case(
        DESKTOP,
        "GetVirtualDesktopAssignedToUser",
        _get_assigned,
        _check_vm_name,
        [Bad("no collection", {"CollectionAlias": "nowhere"}, _ABSENT)],
    ),
    Case(
        DESKTOP,
        "GetVirtualDesktopDetails",
        lambda w: ({"Name": w.desktops[0]}, {}),
        _check_details,
    ),
    Case(
        DESKTOP,
        "GetVirtualDesktopState",
        lambda w: ({"Name": w.desktops[0]}, {}),
        _check_running,
    ),
    Case(
        DESKTOP,
        "RemoveUserAssignment",
        _remove_user,
        _check_nobody,
        [Bad("no VM", {"VMName": "nothing"}, _ABSENT)],
    ),
    Case(
        DESKTOP,
        "SetUserAssignment",
        _free,
        _check_owner,
        [
            Bad("empty", {"UserName": ""}, _INVALID),
            Bad("backslash", {"UserName": r"CORP\me"}, _INVALID),
        ],
    ),
    Case(
        DESKTOP,
        "SetVirtualDesktopState",
        lambda w: ({"Name": w.desktops[1]}, {"VMState": 32768}),
        _check_paused,
        [
            Bad("no run state", {"VMState": 1}, _INVALID),
            Bad("on the way", {"VMState": 32770}, _INVALID),
        ],
    ),
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


def _key(method: str, key: str, value: Any, name: str, alias: str) -> Callable[[World], Call]:
    """Set a key of the instance ``alias`` of World, then ask for it."""

    def call(w: World) -> Call:
        keys = {"Alias": getattr(w, alias)}
        w.set_up(name, method.replace("Get", "Set"), keys, {"Key": key, "Value": value})
        return keys, {"Key": key}

    return call


def _check_key(method: str, name: str) -> Callable[[World, Call, Answer], None]:
    def check(w: World, call: Call, answer: Answer) -> None:
        keys, given = call
        assert w.read(name, method, keys, {"Key": given["Key"]}) == {"Value": given["Value"]}

    return check


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
    until("the job is undone", lambda: _job_state(w, guid) == "JOB_ABORTED", 30)
    assert w.service.find_orphans() == []


def _new_job(w: World) -> Call:
    alias = w.new_collection()
    return None, {
        "JobInputXml": job_document("Create", alias, prefix=f"{alias}-", count=1, host=w.host)
    }


def _check_executed(w: World, call: Call, answer: Answer) -> None:
    guid = answer.outputs["JobGuid"]
    until("the job ends", lambda: _job_state(w, guid) == "JOB_COMPLETED", 30)


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
    until("the job ends", lambda: _job_state(w, guid) == "JOB_COMPLETED", 30)
    images = rdms("image", "list", "--state-dir", w.service.state_dir)
    assert [image for image in images if image["source"].endswith(call[1]["ExportToLocation"])]


_NO_JOB = [
    Bad("no such job", {"JobGuid": ABSENT_GUID}, _ABSENT),
    Bad("no GUID", {"JobGuid": "7"}, _INVALID),
]

COLLECTIONS = [
    Case(
        COLLECTION,
        "AddVirtualDesktop",
        _free_vm,
        _check_member,
        [Bad("no VM", {"VMName": "nothing"}, _ABSENT)],
    ),
    Case(
        COLLECTION,
        "RemoveVirtualDesktop",
        _member,
        _check_no_member,
        [Bad("no VM", {"VMName": "nothing"}, _ABSENT)],
    ),
    Case(
        COLLECTION,
        "GetInt32Property",
        _key("GetInt32Property", "MaxMonitors", 2, COLLECTION, "pool"),
        _check_value(2),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        COLLECTION,
        "GetStringProperty",
        _key("GetStringProperty", "ExportInProgress", "gold", COLLECTION, "pool"),
        _check_value("gold"),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        COLLECTION,
        "SetInt32Property",
        lambda w: ({"Alias": w.pool}, {"Key": "DeviceRedirectionOptions", "Value": 187}),
        _check_key("GetInt32Property", COLLECTION),
        [
            Bad("read-only", {"Key": "CollectionState", "Value": 0}, Returns(INVALID_OPERATION)),
            Bad("out of range", {"Key": "RedirectClientPrinter", "Value": 9}, _INVALID),
            Bad("empty key", {"Key": ""}, _INVALID),
            Bad("NULL", {"Value": None}, _INVALID),
        ],
    ),
    Case(
        COLLECTION,
        "SetStringProperty",
        lambda w: ({"Alias": w.pool}, {"Key": "ExportInProgress", "Value": "template"}),
        _check_key("GetStringProperty", COLLECTION),
        [
            Bad("read-only", {"Key": "ProvisioningJobId"}, Returns(INVALID_OPERATION)),
            Bad("key of numbers", {"Key": "MaxMonitors"}, _INVALID),
        ],
    ),
    Case(
        COLLECTION,
        "SchedulePatch",
        _scheduled,
        _check_schedule,
        [
            Bad("force before start", {"ForceLogOffTime": later(hours=1)}, _INVALID),
            Bad("no document", {"JobInputXml": "<a/>"}, _INVALID),
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
            Bad("no document", {"JobInputXml": "<a/>"}, _INVALID),
            Bad("not XML", {"JobInputXml": "a & b"}, _INVALID),
            Bad("no collection", {"JobInputXml": job_document("Delete", "nowhere")}, _ABSENT),
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
        [Bad("no type", {"JobType": 7}, _INVALID)],
    ),
    Case(
        COLLECTION,
        "ProvisioningPrepJob",
        _prep,
        _check_prepared,
        [
            Bad("no host", {"VMHostName": "nowhere.example"}, _ABSENT),
            Bad("no VM", {"VMName": "nothing"}, _ABSENT),
        ],
    ),
]

# --- Win32_RDSHCollection


def _key_value(w: World) -> Call:
    key = w.fresh("key")
    given = {"Key": key, "NewValue": "one", "Comparand": ""}
    w.set_up(RDSH, "KeyValueCompareAndSet", {"Alias": w.rdsh}, given)
    return {"Alias": w.rdsh}, {"Key": key}


def _exchange(w: World) -> Call:
    keys, given = _key_value(w)
    return keys, {**given, "NewValue": "two", "Comparand": "one"}


def _check_exchanged(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs == {"InitialValue": "one"}
    assert w.read(RDSH, "KeyValueGet", call[0], {"Key": call[1]["Key"]}) == {"Value": "two"}


def _check_deleted(w: World, call: Call, answer: Answer) -> None:
    w.expect(Faults(CIM_NOT_FOUND), RDSH, "KeyValueGet", *call)


RDSH_COLLECTIONS = [
    Case(
        RDSH,
        "GetInt32Property",
        _key("GetInt32Property", "MaxMonitors", 16, RDSH, "rdsh"),
        _check_value(16),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        RDSH,
        "GetStringProperty",
        _key("GetStringProperty", "UserVHDShare", "/srv/profiles", RDSH, "rdsh"),
        _check_value("/srv/profiles"),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        RDSH,
        "SetInt32Property",
        lambda w: ({"Alias": w.rdsh}, {"Key": "EncryptionLevel", "Value": 3}),
        _check_key("GetInt32Property", RDSH),
        [
            Bad("out of range", {"Value": 9}, _INVALID),
            Bad("empty key", {"Key": ""}, _INVALID),
            Bad("key of strings", {"Key": "UserVHDShare"}, _INVALID),
        ],
    ),
    Case(
        RDSH,
        "SetStringProperty",
        lambda w: ({"Alias": w.rdsh}, {"Key": "UserVHDShare", "Value": "/srv/other"}),
        _check_key("GetStringProperty", RDSH),
        [
            Bad("key of numbers", {"Key": "MaxMonitors"}, _INVALID),
            Bad("no SDDL", {"Key": "SecurityDescriptor", "Value": "D:(nonsense"}, _INVALID),
        ],
    ),
    Case(
        RDSH,
        "KeyValueCompareAndSet",
        _exchange,
        _check_exchanged,
        [Bad("empty key", {"Key": ""}, _INVALID)],
    ),
    Case(RDSH, "KeyValueDelete", _key_value, _check_deleted, [Bad("never set", _NEVER, _ABSENT)]),
    Case(RDSH, "KeyValueGet", _key_value, _check_value("one"), [Bad("never set", _NEVER, _UNSET)]),
]

# --- Win32_RDSHServer


def _server_key(method: str, key: str, value: Any) -> Callable[[World], Call]:
    def call(w: World) -> Call:
        keys = {"Name": w.server}
        w.set_up(SERVER, method.replace("Get", "Set"), keys, {"Key": key, "Value": value})
        return keys, {"Key": key}

    return call


def _state_change(w: World) -> Call:
    return {"Name": w.new_server()}, {"Comparand": 1, "NewState": 9}


def _check_state_changed(w: World, call: Call, answer: Answer) -> None:
    assert answer.outputs == {"InitState": 1}
    assert w.other.get(SERVER, call[0])["ServerState"] == 9
    w.set_up(SERVER, "GetPendingStartServerList", None, {"maxServers": 1000})


def _pending(w: World) -> Call:
    keys, given = _state_change(w)
    w.set_up(SERVER, "TestAndSetState", keys, given)
    w.memory = keys
    return None, {"maxServers": 1000}


def _check_pending(w: World, call: Call, answer: Answer) -> None:
    assert w.memory["Name"] in answer.outputs["ServerFQDNs"]
    again = w.read(SERVER, "GetPendingStartServerList", *call)
    assert w.memory["Name"] not in (again.get("ServerFQDNs") or [])


SERVERS = [
    Case(
        SERVER,
        "GetInt32Property",
        _server_key("GetInt32Property", "DrainMode", 1),
        _check_value(1),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        SERVER,
        "GetStringProperty",
        _server_key("GetStringProperty", "Rack", "7"),
        _check_value("7"),
        [Bad("never set", _NEVER, _UNSET)],
    ),
    Case(
        SERVER,
        "SetInt32Property",
        lambda w: ({"Name": w.server}, {"Key": "SessionLimit", "Value": 20}),
        _check_key("GetInt32Property", SERVER),
        [
            Bad("out of range", {"Key": "DrainMode", "Value": 9}, _INVALID),
            Bad("empty key", {"Key": ""}, _INVALID),
        ],
    ),
    Case(
        SERVER,
        "SetStringProperty",
        lambda w: ({"Name": w.server}, {"Key": "Rack", "Value": "8"}),
        _check_key("GetStringProperty", SERVER),
        [Bad("key of numbers", {"Key": "DrainMode"}, _INVALID)],
    ),
    Case(SERVER, "GetPendingStartServerList", _pending, _check_pending),
    Case(
        SERVER,
        "TestAndSetState",
        _state_change,
        _check_state_changed,
        [Bad("no state", {"NewState": 77}, _INVALID)],
    ),
]

# --- Win32_VirtualDesktopSession


def _session(w: World) -> Call:
    return w.new_session(), {}


def _message(w: World) -> Call:
    return w.new_session(), {"Title": "Maintenance", "Message": w.fresh("The broker restarts ")}


def _check_message(w: World, call: Call, answer: Answer) -> None:
    assert call[1]["Message"] in w.messages(call[0])


def _check_disconnected(w: World, call: Call, answer: Answer) -> None:
    assert w.other.get(SESSION, call[0])["ConnectState"] == 4


def _check_logged_off(w: World, call: Call, answer: Answer) -> None:
    assert call[0]["SessionId"] not in {one["SessionId"] for one in w.other.list(SESSION)}


_GONE = [Bad("it has gone", {}, Returns(SESSION_GONE), {"SessionId": 4_000_000})]

SESSIONS = [
    Case(SESSION, "Disconnect", _session, _check_disconnected, _GONE),
    Case(SESSION, "Logoff", _session, _check_logged_off, _GONE),
    Case(SESSION, "SendMessage", _message, _check_message, _GONE),
]

CASES: Sequence[Case] = [
    *COLLECTION_PROPERTIES,
    *DEPLOYMENT_SETTINGS,
    *ASSIGNMENTS,
    *ENVIRONMENTS,
    *NODES,
    *MANAGEMENT_DATA,
    *DESKTOPS,
    *COLLECTIONS,
    *RDSH_COLLECTIONS,
    *SERVERS,
    *SESSIONS,
]
