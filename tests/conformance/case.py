"""What a case is: one method called as it should be, and what it must refuse.

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

NOT_FOUND, INVALID_PARAMETER, INVALID_OPERATION = 0x80041002, 0x80041008, 0x80041016
ALREADY_EXISTS = 0x80041019
SESSION_GONE = 1168

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


INVALID = Returns(INVALID_PARAMETER)
UNSET = Faults(CIM_NOT_FOUND)
ABSENT = Returns(NOT_FOUND)
NEVER = {"Key": "NeverSetByAnybody"}


def check_value(expected: Any) -> Callable[[World, Call, Answer], None]:
    def check(w: World, call: Call, answer: Answer) -> None:
        assert answer.outputs == {"Value": expected}

    return check


def ask_key(method: str, key: str, value: Any, name: str, alias: str) -> Callable[[World], Call]:
    """Set a key of the instance ``alias`` of World, then ask for it."""

    def call(w: World) -> Call:
        keys = {"Alias": getattr(w, alias)}
        w.set_up(name, method.replace("Get", "Set"), keys, {"Key": key, "Value": value})
        return keys, {"Key": key}

    return call


def check_key(method: str, name: str) -> Callable[[World, Call, Answer], None]:
    def check(w: World, call: Call, answer: Answer) -> None:
        keys, given = call
        assert w.read(name, method, keys, {"Key": given["Key"]}) == {"Value": given["Value"]}

    return check
