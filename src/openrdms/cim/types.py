"""CIM values, properties, classes and instances as plain Python values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

CimScalar = bool | int | float | str | datetime | timedelta
CimValue = CimScalar | list[CimScalar | None] | None
"""NULL is None; an array is a list. Integers are plain ints, checked against the CIM type."""


@dataclass(frozen=True)
class CimInstance:
    """One instance: every property of its class by name, NULL included."""

    cim_class: str
    properties: Mapping[str, CimValue]


class WrongValueError(ValueError):
    """A value is not of its CIM type. The text completes a sentence that begins with a name."""


class CimType(StrEnum):
    """Intrinsic types of DSP0004 section 5.2; references are not served."""

    BOOLEAN = "boolean"
    STRING = "string"
    CHAR16 = "char16"
    UINT8 = "uint8"
    SINT8 = "sint8"
    UINT16 = "uint16"
    SINT16 = "sint16"
    UINT32 = "uint32"
    SINT32 = "sint32"
    UINT64 = "uint64"
    SINT64 = "sint64"
    REAL32 = "real32"
    REAL64 = "real64"
    DATETIME = "datetime"


_WIDTHS = (8, 16, 32, 64)
INTEGER_RANGES = {CimType(f"uint{bits}"): range(2**bits) for bits in _WIDTHS} | {
    CimType(f"sint{bits}"): range(-(2 ** (bits - 1)), 2 ** (bits - 1)) for bits in _WIDTHS
}

_REALS = (CimType.REAL32, CimType.REAL64)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_DURATION = re.compile(
    r"P(?=.)(?:([0-9]{1,9})D)?(?:T(?=.)(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?"
    r"(?:([0-9]{1,9})(?:\.([0-9]{1,9}))?S)?)?",
    re.ASCII,
)
_CIM_POINT = re.compile(r"([0-9]{14})\.([0-9]{6})([+-])([0-9]{3})", re.ASCII)
_CIM_INTERVAL = re.compile(r"([0-9]{8})([0-9]{2})([0-9]{2})([0-9]{2})\.([0-9]{6}):000", re.ASCII)


def check_scalar(cim_type: CimType, value: object) -> None:
    """Raise ValueError saying why ``value`` is not of that type."""
    if cim_type in INTEGER_RANGES:
        _check_integer(cim_type, value)
    elif cim_type is CimType.BOOLEAN:
        _check_kind(cim_type, value, bool)
    elif cim_type is CimType.DATETIME:
        _check_kind(cim_type, value, (datetime, timedelta))
    elif cim_type in _REALS:
        _check_kind(cim_type, value, float)
    else:
        _check_kind(cim_type, value, str)
        if cim_type is CimType.CHAR16 and len(str(value)) != 1:
            raise WrongValueError("is not one character")


def parse_scalar(cim_type: CimType, text: str) -> CimScalar:
    """The value of its text form in any spelling that clients use; ValueError says why not."""
    if cim_type is CimType.STRING:
        return text
    value = _parse_text(cim_type, text if cim_type is CimType.CHAR16 else text.strip())
    check_scalar(cim_type, value)
    return value


def _parse_text(cim_type: CimType, text: str) -> CimScalar:
    if cim_type in INTEGER_RANGES:
        if not _INTEGER.fullmatch(text):
            raise WrongValueError("is not an integer")
        return int(text)
    if cim_type is CimType.BOOLEAN:
        if text.lower() not in _BOOLEANS:
            raise WrongValueError("is not a boolean")
        return _BOOLEANS[text.lower()]
    if cim_type is CimType.DATETIME:
        return parse_datetime(text)
    return float(text) if cim_type in _REALS else text


def parse_datetime(text: str) -> datetime | timedelta:
    """A point or an interval from xs:dateTime, xs:duration or the 25 characters of DSP0004.

    A point without a zone is taken as UTC.
    """
    if _DURATION.fullmatch(text):
        return _check_interval(parse_duration(text))
    if match := _CIM_INTERVAL.fullmatch(text):
        days, hours, minutes, seconds, micros = map(int, match.groups())
        return timedelta(days, seconds, micros, 0, minutes, hours)
    if match := _CIM_POINT.fullmatch(text):
        clock, micros_text, sign, offset = match.groups()
        zone = timezone(timedelta(minutes=int(sign + offset)))
        point = datetime.strptime(f"{clock}{micros_text}", "%Y%m%d%H%M%S%f").replace(tzinfo=zone)
        return _check_point(point)
    if "T" not in text:
        raise WrongValueError("is not a datetime")
    point = datetime.fromisoformat(text)
    return _check_point(point if point.tzinfo else point.replace(tzinfo=UTC))


def _check_point(point: datetime) -> datetime:
    """Refuse what cannot be written in UTC: once stored, it would break every listing."""
    try:
        point.astimezone(UTC)
    except OverflowError as error:
        raise WrongValueError("is not within the years 1 to 9999 of UTC") from error
    return point


def _check_interval(interval: timedelta) -> timedelta:
    if interval.days >= 10**8:  # the 25 characters hold no more
        raise WrongValueError("is too long an interval")
    return interval


def parse_duration(text: str) -> timedelta:
    """An xs:duration in days and less; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise WrongValueError("is not a duration")
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups()[:4])
    micros = int((match[5] or "").ljust(6, "0")[:6])
    try:
        return timedelta(days, seconds, micros, 0, minutes, hours)
    except OverflowError as error:
        raise WrongValueError("is too long a duration") from error


def render_scalar(value: CimScalar) -> str:
    """The text form of WS-CIM (DSP0230): xs:boolean, decimal, xs:dateTime, xs:duration."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _render_point(value)
    if isinstance(value, timedelta):
        return _render_interval(value)
    if isinstance(value, float):
        return _XS_REALS.get(repr(value), repr(value))
    return str(value)


_XS_REALS = {"inf": "INF", "-inf": "-INF", "nan": "NaN"}


def _render_point(value: datetime) -> str:
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if value.microsecond else text}Z"


def _render_interval(value: timedelta) -> str:
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06}".rstrip("0").rstrip(".")
    return f"P{value.days}DT{hours}H{minutes}M{seconds}{fraction}S"


def _check_integer(cim_type: CimType, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongValueError("is not an integer")
    if value not in INTEGER_RANGES[cim_type]:
        raise WrongValueError(f"is out of the range of {cim_type}")


def _check_kind(cim_type: CimType, value: object, kind: type | tuple[type, ...]) -> None:
    if not isinstance(value, kind):
        raise WrongValueError(f"is not a {cim_type}")
