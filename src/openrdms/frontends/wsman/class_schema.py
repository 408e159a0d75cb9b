"""Declarations of classes, in the XML of DSP0201: what Get-CimClass asks for.

One is got or enumerated by the selector ClassName; without it every class of the namespace is
enumerated. What the options do not ask for is left out, as Windows does.
"""

from __future__ import annotations

from collections.abc import Iterator

from openrdms.cim import cimxml
from openrdms.cim.cimxml import Detail
from openrdms.cim.errors import KeysError
from openrdms.frontends.wsman.resource import ALL_CLASSES, Resource
from openrdms.frontends.wsman.soap import Request, is_true


def get(target: Resource, request: Request) -> str:
    """One class; KeysError without a name, CimError INVALID_CLASS."""
    if target.class_name == ALL_CLASSES:
        raise KeysError("Insufficient", "Get needs the selector ClassName", ["ClassName"])
    return next(enumerate_classes(target, request))


def enumerate_classes(target: Resource, request: Request) -> Iterator[str]:
    """The named class or all; CimError INVALID_CLASS."""
    detail = Detail(
        qualifiers=is_true(request.options.get("includequalifiers")),
        class_origin=is_true(request.options.get("includeclassorigin")),
    )
    schema = target.manager.schema
    wanted = (
        schema.classes
        if target.class_name == ALL_CLASSES
        else (schema.get_class(target.class_name),)
    )
    return (cimxml.render_class(cim_class, detail) for cim_class in wanted)
