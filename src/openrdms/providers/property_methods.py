"""Get and Set…Property, the same for every class that has property keys."""

from __future__ import annotations

from collections.abc import Callable

from openrdms.cim.errors import CimError, CimStatus
from openrdms.model.errors import WbemCode
from openrdms.providers.service_provider import Call, Method
from openrdms.providers.values import Values, get_number, get_text

Find = Callable[[Values, str], object]
"""The value of a key, given the instance's keys; None when it was never set."""
Change = Callable[[Values, str, int | str], None]


READING = frozenset({"GetInt32Property", "GetStringProperty"})


def property_methods(find: Find, change: Change) -> dict[str, Method]:
    """The four methods over a service."""
    return {
        "GetInt32Property": lambda call: _get(find, call, int, "a number"),
        "GetStringProperty": lambda call: _get(find, call, str, "a string"),
        "SetInt32Property": lambda call: change(
            call.keys, get_text(call.parameters, "Key"), get_number(call.parameters, "Value")
        ),
        "SetStringProperty": lambda call: change(
            call.keys, get_text(call.parameters, "Key"), get_text(call.parameters, "Value")
        ),
    }


def never_set(key: str, what: str) -> CimError:
    """A key never set is a fault; stock clients catch it and go on with a default (facts 0.8)."""
    return CimError(
        CimStatus.NOT_FOUND,
        f"{key} was never set to {what}",
        wbem=int(WbemCode.NOT_FOUND),
        names=["Key"],
    )


def _get(find: Find, call: Call, kind: type[int] | type[str], what: str) -> Values:
    key = get_text(call.parameters, "Key")
    value = find(call.keys, key)
    if not isinstance(value, kind):
        raise never_set(f"Key: {key!r}", what)
    return {"Value": value}
