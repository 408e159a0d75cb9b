"""CIM values of one kind, read by name. The schema has checked types; NULL is left to check."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from openrdms.cim.types import CimValue
from openrdms.model import errors

Values = Mapping[str, CimValue]
_Kind = TypeVar("_Kind", str, int, bool)


def get_text(values: Values, name: str) -> str:
    """InvalidParameter when it is NULL, as for the others."""
    return _get(values, name, str)


def get_number(values: Values, name: str) -> int:
    return _get(values, name, int)


def find_number(values: Values, name: str) -> int | None:
    """NULL reads as None."""
    return None if values[name] is None else _get(values, name, int)


def get_flag(values: Values, name: str) -> bool:
    return _get(values, name, bool)


def get_time(values: Values, name: str) -> datetime | timedelta:
    """A point in time or an interval. InvalidParameter when it is NULL."""
    value = values[name]
    if not isinstance(value, datetime | timedelta):
        raise errors.InvalidParameter(name, "is NULL")
    return value


def find_text(values: Values, name: str) -> str:
    """NULL reads as ""."""
    return "" if values[name] is None else _get(values, name, str)


def wanted_text(where: Values, name: str) -> str | None:
    """What a filter wants a property to be, None when it does not say."""
    value = where.get(name)
    return value if isinstance(value, str) else None


def parse_fields(
    properties: Values, fields: Mapping[str, str], nullable: Container[str]
) -> dict[str, Any]:
    """Properties by the names of a record's ``fields``.

    InvalidParameter for a NULL that is not ``nullable``.
    """
    for name, value in properties.items():
        if value is None and name not in nullable:
            raise errors.InvalidParameter(name, "cannot be NULL")
    return {fields[name]: value for name, value in properties.items()}


def parse_created(
    properties: Values, fields: Mapping[str, str], needed: Iterable[str]
) -> dict[str, Any]:
    """Like ``parse_fields`` for a new instance: NULL means not given. InvalidParameter."""
    given = {name: value for name, value in properties.items() if value is not None}
    for name in needed:
        if name not in given:
            raise errors.InvalidParameter(name, "is needed")
    return parse_fields(given, fields, ())


def parse_icon(value: CimValue) -> bytes | None:
    """An array of uint8 as bytes; NULL and an array of nothing are none. InvalidParameter."""
    if not isinstance(value, list) or not value:
        return None
    numbers = [byte for byte in value if isinstance(byte, int)]
    if len(numbers) != len(value):
        raise errors.InvalidParameter("IconContents", "holds NULL")
    return bytes(numbers)


def render_icon(icon: bytes | None) -> CimValue:
    return None if icon is None else list(icon)


def _get(values: Values, name: str, kind: type[_Kind]) -> _Kind:
    value = values[name]
    if not isinstance(value, kind):
        raise errors.InvalidParameter(name, "is NULL" if value is None else f"is no {kind}")
    return value
