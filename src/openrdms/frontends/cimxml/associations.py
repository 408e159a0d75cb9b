"""Operations along associations (DSP0200): there are none to follow.

The answer to a good question is an empty one. All classes and instances named must exist.
"""

from __future__ import annotations

from openrdms.cim.errors import CimError, CimStatus
from openrdms.frontends.cimxml.intrinsic import Arguments, Scope, operation, returned
from openrdms.frontends.cimxml.message import class_of
from openrdms.frontends.cimxml.values import invalid, read_keys
from openrdms.frontends.xml_input import Element


def check_source(scope: Scope, arguments: Arguments, source: Element) -> None:
    """INVALID_PARAMETER for an unknown class anywhere, NOT_FOUND for an instance not there."""
    for name in ("AssocClass", "ResultClass"):
        found = arguments.find(name, "CLASSNAME")
        if found is not None:
            _check_class(scope, name, found)
    _check_class(scope, "the source", source)
    if source.tag == "INSTANCENAME":
        cim_class = scope.manager.schema.get_class(class_of(source))
        scope.manager.get(scope.caller, cim_class.name, read_keys(source, cim_class))


def _check_class(scope: Scope, what: str, name: Element) -> None:
    try:
        scope.manager.schema.get_class(class_of(name))
    except CimError as error:
        if error.status is not CimStatus.INVALID_CLASS:
            raise
        raise invalid(what, f"is wrong: {error}") from error


def _follow(scope: Scope, arguments: Arguments) -> str:
    check_source(scope, arguments, arguments.get("ObjectName", "CLASSNAME", "INSTANCENAME"))
    return returned("")


_DETAIL = "IncludeQualifiers IncludeClassOrigin PropertyList"
_ASSOCIATORS = "ObjectName AssocClass ResultClass Role ResultRole"
_REFERENCES = "ObjectName ResultClass Role"
OPERATIONS = {
    "Associators": operation(f"{_ASSOCIATORS} {_DETAIL}", _follow),
    "AssociatorNames": operation(_ASSOCIATORS, _follow),
    "References": operation(f"{_REFERENCES} {_DETAIL}", _follow),
    "ReferenceNames": operation(_REFERENCES, _follow),
}
