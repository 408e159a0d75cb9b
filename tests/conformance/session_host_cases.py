"""Methods of session collections, their servers and assignments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.case import (
    ABSENT,
    INVALID,
    NEVER,
    UNSET,
    Bad,
    Call,
    Case,
    Faults,
    ask_key,
    check_key,
    check_value,
)
from conformance.speakers import NOT_FOUND as CIM_NOT_FOUND
from conformance.speakers import Answer
from conformance.world import World

ASSIGNMENT = "Win32_RDMSDesktopAssignment"
RDSH = "Win32_RDSHCollection"
SERVER = "Win32_RDSHServer"

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
            Bad("no collection", {"CollectionAlias": "nowhere"}, ABSENT),
            Bad("empty user", {"UserName": ""}, INVALID),
            Bad("empty desktop", {"DesktopName": ""}, INVALID),
        ],
    ),
    Case(
        ASSIGNMENT,
        "RemoveDesktopAssignment",
        _existing_assignment,
        _check_unassigned,
        [
            Bad("no collection", {"CollectionAlias": "nowhere"}, ABSENT),
            Bad("nobody", {"UserName": "somebody-else"}, ABSENT),
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
        ask_key("GetInt32Property", "MaxMonitors", 16, RDSH, "rdsh"),
        check_value(16),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        RDSH,
        "GetStringProperty",
        ask_key("GetStringProperty", "UserVHDShare", "/srv/profiles", RDSH, "rdsh"),
        check_value("/srv/profiles"),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        RDSH,
        "SetInt32Property",
        lambda w: ({"Alias": w.rdsh}, {"Key": "EncryptionLevel", "Value": 3}),
        check_key("GetInt32Property", RDSH),
        [
            Bad("out of range", {"Value": 9}, INVALID),
            Bad("empty key", {"Key": ""}, INVALID),
            Bad("key of strings", {"Key": "UserVHDShare"}, INVALID),
        ],
    ),
    Case(
        RDSH,
        "SetStringProperty",
        lambda w: ({"Alias": w.rdsh}, {"Key": "UserVHDShare", "Value": "/srv/other"}),
        check_key("GetStringProperty", RDSH),
        [
            Bad("key of numbers", {"Key": "MaxMonitors"}, INVALID),
            Bad("no SDDL", {"Key": "SecurityDescriptor", "Value": "D:(nonsense"}, INVALID),
        ],
    ),
    Case(
        RDSH,
        "KeyValueCompareAndSet",
        _exchange,
        _check_exchanged,
        [Bad("empty key", {"Key": ""}, INVALID)],
    ),
    Case(RDSH, "KeyValueDelete", _key_value, _check_deleted, [Bad("never set", NEVER, ABSENT)]),
    Case(RDSH, "KeyValueGet", _key_value, check_value("one"), [Bad("never set", NEVER, UNSET)]),
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
        check_value(1),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        SERVER,
        "GetStringProperty",
        _server_key("GetStringProperty", "Rack", "7"),
        check_value("7"),
        [Bad("never set", NEVER, UNSET)],
    ),
    Case(
        SERVER,
        "SetInt32Property",
        lambda w: ({"Name": w.server}, {"Key": "SessionLimit", "Value": 20}),
        check_key("GetInt32Property", SERVER),
        [
            Bad("out of range", {"Key": "DrainMode", "Value": 9}, INVALID),
            Bad("empty key", {"Key": ""}, INVALID),
        ],
    ),
    Case(
        SERVER,
        "SetStringProperty",
        lambda w: ({"Name": w.server}, {"Key": "Rack", "Value": "8"}),
        check_key("GetStringProperty", SERVER),
        [Bad("key of numbers", {"Key": "DrainMode"}, INVALID)],
    ),
    Case(SERVER, "GetPendingStartServerList", _pending, _check_pending),
    Case(
        SERVER,
        "TestAndSetState",
        _state_change,
        _check_state_changed,
        [Bad("no state", {"NewState": 77}, INVALID)],
    ),
]
