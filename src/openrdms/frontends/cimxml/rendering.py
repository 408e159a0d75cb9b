"""Instances and their paths as XML (DSP0201). What is fixed for a class is written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from openrdms.cim.cimxml import render_scalar, render_value
from openrdms.cim.schema import CimClass, Property
from openrdms.cim.types import INTEGER_RANGES, CimInstance, CimType, CimValue
from openrdms.cim.xmltext import escape
from openrdms.frontends.cimxml.intrinsic import Arguments, Scope

Render = Callable[[CimInstance], str]

_NUMERIC = frozenset({*INTEGER_RANGES, CimType.REAL32, CimType.REAL64})


def instance_renderer(
    cim_class: CimClass, chosen: frozenset[str] | None = None, *, class_origin: bool = False
) -> Render:
    """How to write INSTANCE with the properties named in ``chosen``, in lower case; None: all."""
    head = f'<INSTANCE CLASSNAME="{cim_class.name}">'
    origin = f' CLASSORIGIN="{cim_class.name}"' if class_origin else ""
    tags = [
        (item.name, *_tags(item, origin))
        for item in cim_class.properties
        if chosen is None or item.name.lower() in chosen
    ]

    def render(instance: CimInstance) -> str:
        values = instance.properties
        parts = [head]
        for name, opening, closing, null in tags:
            value = values.get(name)
            if value is None:
                parts.append(null)
            elif isinstance(value, str):
                parts.append(f"{opening}<VALUE>{escape(value)}</VALUE>{closing}")
            else:
                parts.append(f"{opening}{render_value(value)}{closing}")
        parts.append("</INSTANCE>")
        return "".join(parts)

    return render


def asked_renderer(cim_class: CimClass, arguments: Arguments) -> Render:
    """As ``instance_renderer``, by what PropertyList and IncludeClassOrigin say."""
    return instance_renderer(
        cim_class, arguments.find_properties(), class_origin=arguments.flag("IncludeClassOrigin")
    )


def name_renderer(cim_class: CimClass) -> Render:
    """How to write INSTANCENAME."""

    def render(instance: CimInstance) -> str:
        return render_name(cim_class, instance.properties)

    return render


def path_renderer(cim_class: CimClass, scope: Scope) -> Render:
    """How to write INSTANCEPATH."""
    parts = scope.manager.schema.namespace.split("/")
    namespaces = "".join(f'<NAMESPACE NAME="{escape(part)}"/>' for part in parts)
    head = (
        f"<INSTANCEPATH><NAMESPACEPATH><HOST>{escape(scope.host)}</HOST>"
        f"<LOCALNAMESPACEPATH>{namespaces}</LOCALNAMESPACEPATH></NAMESPACEPATH>"
    )
    name = name_renderer(cim_class)
    return lambda instance: f"{head}{name(instance)}</INSTANCEPATH>"


def joined_renderer(tag: str, *parts: Render) -> Render:
    """How to write an element that holds ``parts`` one after another."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    return lambda instance: opening + "".join([part(instance) for part in parts]) + closing


def render_name(cim_class: CimClass, keys: Mapping[str, CimValue]) -> str:
    """INSTANCENAME of an instance with these keys."""
    bindings = "".join([_render_key(key, keys.get(key.name)) for key in cim_class.keys])
    return f'<INSTANCENAME CLASSNAME="{cim_class.name}">{bindings}</INSTANCENAME>'


def _render_key(key: Property, value: CimValue) -> str:
    text = "" if value is None or isinstance(value, list) else render_scalar(value)
    return (
        f'<KEYBINDING NAME="{key.name}"><KEYVALUE VALUETYPE="{_value_type(key)}"'
        f' TYPE="{key.type}">{text}</KEYVALUE></KEYBINDING>'
    )


def _value_type(key: Property) -> str:
    if key.type is CimType.BOOLEAN:
        return "boolean"
    return "numeric" if key.type in _NUMERIC else "string"


def _tags(item: Property, origin: str) -> tuple[str, str, str]:
    """Opening, closing, and the whole for NULL: both, since wbemcli reads no empty-element tag."""
    tag = "PROPERTY.ARRAY" if item.array else "PROPERTY"
    opening = f'<{tag} NAME="{item.name}" TYPE="{item.type}"{origin}'
    return f"{opening}>", f"</{tag}>", f"{opening}></{tag}>"
