"""Declarations and values in the XML of DSP0201: what CIM-XML and the class schema over
WS-Management have in common.

Every class of ours is its own root: there is no SUPERCLASS or DERIVATION to write, nothing is
propagated, and the options about inherited elements change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from openrdms.cim import types
from openrdms.cim.schema import (
    CimClass,
    Element,
    Flavor,
    Method,
    Parameter,
    Property,
    Qualifier,
    QualifierDeclaration,
)
from openrdms.cim.types import CimScalar, CimValue
from openrdms.cim.xmltext import escape

_SCOPES = ("class", "association", "reference", "property", "method", "parameter", "indication")


@dataclass(frozen=True)
class Detail:
    """How much of a class is wanted: the parameters of GetClass (DSP0200 5.3.2.1).

    ``properties`` are the names of wanted properties in lower case; None means all.
    """

    qualifiers: bool = True
    class_origin: bool = False
    properties: frozenset[str] | None = None


def render_class(cim_class: CimClass, detail: Detail) -> str:
    """The element CLASS."""
    chosen = detail.properties
    return (
        f'<CLASS NAME="{cim_class.name}">'
        + _qualifiers(cim_class.qualifiers, detail)
        + "".join(
            _property(item, cim_class, detail)
            for item in cim_class.properties
            if chosen is None or item.name.lower() in chosen
        )
        + "".join(_method(item, cim_class, detail) for item in cim_class.methods)
        + "</CLASS>"
    )


def render_qualifier_declaration(declared: QualifierDeclaration) -> str:
    """The element QUALIFIER.DECLARATION."""
    names = _SCOPES if "any" in declared.scopes else declared.scopes
    scopes = "".join(f' {name.upper()}="true"' for name in names)
    return (
        f'<QUALIFIER.DECLARATION NAME="{declared.name}" TYPE="{declared.type}"'
        f' ISARRAY="{_flag(declared.array)}"{_flavor(declared.flavor)}>'
        f"<SCOPE{scopes}/>{render_value(declared.default)}</QUALIFIER.DECLARATION>"
    )


def render_value(value: CimValue) -> str:
    """VALUE or VALUE.ARRAY, where NULL is no element at all."""
    if value is None:
        return ""
    if isinstance(value, list):
        items = (
            "<VALUE.NULL/>" if item is None else f"<VALUE>{render_scalar(item)}</VALUE>"
            for item in value
        )
        return f"<VALUE.ARRAY>{''.join(items)}</VALUE.ARRAY>"
    return f"<VALUE>{render_scalar(value)}</VALUE>"


def render_scalar(value: CimScalar) -> str:
    """The text of one value, escaped: TRUE, decimal, the 25 characters of a datetime."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return render_point(value)
    if isinstance(value, timedelta):
        return render_interval(value)
    return types.render_scalar(value)


def render_point(value: datetime) -> str:
    """A point in time in UTC: yyyymmddHHMMSS.mmmmmm+000 (DSP0004 5.2.4)."""
    moment = value.astimezone(UTC)
    # strftime does not fill years with zeros.
    return f"{moment.year:04}{moment:%m%d%H%M%S.%f}+000"


def render_interval(value: timedelta) -> str:
    """A span of time: ddddddddHHMMSS.mmmmmm:000 (DSP0004 5.2.4)."""
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{value.days:08}{hours:02}{minutes:02}{seconds:02}.{value.microseconds:06}:000"


def _property(item: Property, owner: CimClass, detail: Detail) -> str:
    tag = "PROPERTY.ARRAY" if item.array else "PROPERTY"
    content = _qualifiers(item.qualifiers, detail) + render_value(item.default)
    return _element(tag, item, _origin(owner, detail), content)


def _method(method: Method, owner: CimClass, detail: Detail) -> str:
    content = _qualifiers(method.qualifiers, detail)
    content += "".join(_parameter(item, detail) for item in method.parameters)
    origin = _origin(owner, detail)
    return f'<METHOD NAME="{method.name}" TYPE="{method.returns}"{origin}>{content}</METHOD>'


def _parameter(item: Parameter, detail: Detail) -> str:
    tag = "PARAMETER.ARRAY" if item.array else "PARAMETER"
    return _element(tag, item, "", _qualifiers(item.qualifiers, detail))


def _element(tag: str, item: Element, attributes: str, content: str) -> str:
    return f'<{tag} NAME="{item.name}" TYPE="{item.type}"{attributes}>{content}</{tag}>'


def _qualifiers(qualifiers: Iterable[Qualifier], detail: Detail) -> str:
    return "".join(map(_qualifier, qualifiers)) if detail.qualifiers else ""


def _qualifier(item: Qualifier) -> str:
    return (
        f'<QUALIFIER NAME="{item.name}" TYPE="{item.type}"{_flavor(item.flavor)}>'
        f"{render_value(item.value)}</QUALIFIER>"
    )


def _flavor(flavor: Flavor) -> str:
    return (
        f' OVERRIDABLE="{_flag(flavor.overridable)}" TOSUBCLASS="{_flag(flavor.to_subclass)}"'
        f' TRANSLATABLE="{_flag(flavor.translatable)}"'
    )


def _origin(owner: CimClass, detail: Detail) -> str:
    return f' CLASSORIGIN="{owner.name}"' if detail.class_origin else ""


def _flag(value: bool) -> str:  # noqa: FBT001 - it is all this function is about
    return "true" if value else "false"
