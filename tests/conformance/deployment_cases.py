"""Methods of the deployment: settings, environment, nodes, the feed."""

from __future__ import annotations

from collections.abc import Callable
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
    Faults,
    Returns,
    Values,
    check_value,
)
from conformance.speakers import NOT_FOUND as CIM_NOT_FOUND
from conformance.speakers import Answer
from conformance.world import World

SETTINGS = "Win32_RDMSDeploymentSettings"
ENVIRONMENT = "Win32_RDMSEnvironment"
NODE = "Win32_RDMSJoinedNode"
MANAGEMENT = "Win32_RDMSManagementData"

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
                Bad("no such directory", {"DirectoryPath": "/nowhere/at/all"}, INVALID),
                Bad("relative", {"DirectoryPath": "exports"}, INVALID),
                Bad("NULL", {"DirectoryPath": None}, INVALID),
                Bad("UNC", {"DirectoryPath": r"\\server\share"}, INVALID),
            ],
        ),
    ]


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
            [Bad("not a connection string", {parameter: "no pairs"}, INVALID)],
        ),
    ]


def _setting(method: str, key: str, value: Any) -> Callable[[World], Call]:
    """Set the key, then ask for it by ``method``."""

    def call(w: World) -> Call:
        w.set_up(SETTINGS, method.replace("Get", "Set"), None, {"Key": key, "Value": value})
        return None, {"Key": key}

    return call


def _check_setting(method: str) -> Callable[[World, Call, Answer], None]:
    def check(w: World, call: Call, answer: Answer) -> None:
        assert w.read(SETTINGS, method, None, {"Key": call[1]["Key"]}) == {
            "Value": call[1]["Value"]
        }

    return check


def _check_removed(w: World, call: Call, answer: Answer) -> None:
    w.expect(Faults(CIM_NOT_FOUND), SETTINGS, "GetInt32Property", None, call[1])


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
        check_value(2),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        SETTINGS,
        "GetStringProperty",
        _setting("GetStringProperty", "DeploymentGatewayName", "gate.corp.example"),
        check_value("gate.corp.example"),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        SETTINGS,
        "GetStringArrayDeploymentSetting",
        _setting("GetStringArrayDeploymentSetting", "LicenseServers", ["one", "two"]),
        check_value(["one", "two"]),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        SETTINGS,
        "SetInt32Property",
        lambda w: (None, {"Key": "DeploymentGatewayAuthMode", "Value": 4}),
        _check_setting("GetInt32Property"),
        [
            Bad("out of range", {"Value": 77}, INVALID),
            Bad("empty key", {"Key": ""}, INVALID),
            Bad("key of strings", {"Key": "DeploymentGatewayName"}, INVALID),
        ],
    ),
    Case(
        SETTINGS,
        "SetStringProperty",
        lambda w: (None, {"Key": "DeploymentGatewayName", "Value": "other.corp.example"}),
        _check_setting("GetStringProperty"),
        [
            Bad("empty key", {"Key": ""}, INVALID),
            Bad("key of numbers", {"Key": "DeploymentGatewayUsage"}, INVALID),
        ],
    ),
    Case(
        SETTINGS,
        "SetStringArrayDeploymentSetting",
        lambda w: (None, {"Key": "LicenseServers", "Value": ["a.example", "b.example"]}),
        _check_setting("GetStringArrayDeploymentSetting"),
        [Bad("empty key", {"Key": ""}, INVALID)],
    ),
    Case(
        SETTINGS,
        "RemoveDeploymentSetting",
        _setting("GetInt32Property", "DeploymentGatewayUsage", 1),
        _check_removed,
        [Bad("never set", NEVER, ABSENT)],
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
            Bad("empty", {"ClientAccessName": ""}, INVALID),
            Bad("no name", {"ClientAccessName": "not a name!"}, INVALID),
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
            Bad("no FQDN", {"NodeFQDN": "short"}, INVALID),
            Bad("no SID", {"NodeSID": "S-nonsense"}, INVALID),
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
        [Bad("no role", {"roleType": 64}, INVALID)],
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
        [Bad("no collection", {"Context": "nowhere"}, ABSENT)],
    ),
]
