"""Methods of virtual desktops and of the sessions in them."""

from __future__ import annotations

from conformance.case import (
    ABSENT,
    INVALID,
    SESSION_GONE,
    Bad,
    Call,
    Case,
    Returns,
    Values,
)
from conformance.speakers import Answer
from conformance.world import World
from live.rollout import DESKTOP, SESSION

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
        [Bad("no collection", {"CollectionAlias": "nowhere"}, ABSENT)],
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
        [Bad("no VM", {"VMName": "nothing"}, ABSENT)],
    ),
    Case(
        DESKTOP,
        "SetUserAssignment",
        _free,
        _check_owner,
        [
            Bad("empty", {"UserName": ""}, INVALID),
            Bad("backslash", {"UserName": r"CORP\me"}, INVALID),
        ],
    ),
    Case(
        DESKTOP,
        "SetVirtualDesktopState",
        lambda w: ({"Name": w.desktops[1]}, {"VMState": 32768}),
        _check_paused,
        [
            Bad("no run state", {"VMState": 1}, INVALID),
            Bad("on the way", {"VMState": 32770}, INVALID),
        ],
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
