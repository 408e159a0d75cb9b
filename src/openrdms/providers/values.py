"""CIM values of one kind, read by name. The schema has checked types; NULL is left to check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from openrdms.cim.types import CimValue
from openrdms.model import errors

Values = Mapping[str, CimValue]
_Kind = TypeVar("_Kind", str, int, bool)


def get_text(values: Values, name: str) -> str:
    """InvalidParameter when it is NULL, as for the others."""
    return _get(values, name, str)


def get_number(values: Values, name: str) -> int:
    return _get(values, name, int)


def get_flag(values: Values, name: str) -> bool:
    return _get(values, name, bool)


def find_text(values: Values, name: str) -> str:
    """NULL reads as ""."""
    return "" if values[name] is None else _get(values, name, str)


def wanted_text(where: Values, name: str) -> str | None:
    """What a filter wants a property to be, None when it does not say."""
    value = where.get(name)
    return value if isinstance(value, str) else None


def _get(values: Values, name: str, kind: type[_Kind]) -> _Kind:
    value = values[name]
    if not isinstance(value, kind):
        raise errors.InvalidParameter(name, "is NULL" if value is None else f"is no {kind}")
    return value
