"""CIM values, properties, classes and instances as plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

CimScalar = bool | int | float | str | datetime | timedelta
CimValue = CimScalar | list[CimScalar | None] | None
"""NULL is None; an array is a list. Integers are plain ints, checked against the CIM type."""


@dataclass(frozen=True)
class CimInstance:
    """One instance: every property of its class by name, NULL included."""

    cim_class: str
    properties: Mapping[str, CimValue]
