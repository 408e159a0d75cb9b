"""CIM values and keys of requests, read by the declarations of the schema (DSP0201 section 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from openrdms.cim.errors import CimError, CimStatus, KeysError
from openrdms.cim.schema import WBEM_E_TYPE_MISMATCH, CimClass, Property
from openrdms.cim.schema import Element as Declared
from openrdms.cim.types import INTEGER_RANGES, CimScalar, CimType, CimValue
from openrdms.frontends.xml_input import Element

WBEM_E_INVALID_PARAMETER = 0x80041008

_PROPERTIES = ("PROPERTY", "PROPERTY.ARRAY", "PROPERTY.REFERENCE")
_NUMBERS = (*INTEGER_RANGES, CimType.REAL32, CimType.REAL64)
_KEY_TYPES = {"string": tuple(CimType), "boolean": (CimType.BOOLEAN,), "numeric": _NUMBERS}
"""What a VALUETYPE can stand for. "string" is its default and so says nothing."""


def read_instance(instance: Element, cim_class: CimClass) -> dict[str, CimValue]:
    """The properties of an INSTANCE, in the schema's spelling; raises CimError."""
    properties = [item for item in instance if item.tag != "QUALIFIER"]
    for item in properties:
        if item.tag not in _PROPERTIES:
            raise invalid("INSTANCE", f"holds {item.tag}")
    return read_named(properties, cim_class.get_property, "TYPE")


def read_named(
    elements: Iterable[Element], find: Callable[[str], Declared], type_attribute: str
) -> dict[str, CimValue]:
    """Values by declared name. ``find`` gives the declaration of a name or raises CimError."""
    found: dict[str, CimValue] = {}
    for element in elements:
        item = find(element.get("NAME") or "")
        if item.name in found:
            raise invalid(item.name, "is given twice")
        _check_type(item, element.get(type_attribute))
        found[item.name] = _read_content(item, element)
    return found


def read_keys(name: Element, cim_class: CimClass) -> dict[str, CimValue]:
    """The keys of an INSTANCENAME; KeysError for what is no key of the class."""
    pairs = [_read_key(binding, cim_class) for binding in name]
    return cim_class.parse_keys(pairs)


def text_of(element: Element) -> str:
    """The text of a VALUE or KEYVALUE."""
    if len(element):
        raise invalid(str(element.tag), f"holds {element[0].tag}")
    return element.text or ""


def invalid(name: str, reason: str, problem: str = "InvalidValue") -> CimError:
    """INVALID_PARAMETER about ``name``."""
    return CimError(
        CimStatus.INVALID_PARAMETER,
        f"{name} {reason}",
        wbem=WBEM_E_INVALID_PARAMETER,
        names=[name],
        problem=problem,
    )


def _read_content(item: Declared, element: Element) -> CimValue:
    content = [child for child in element if child.tag != "QUALIFIER"]
    if not content:
        return None
    if len(content) > 1:
        raise _mismatch(item, "has more than one value")
    if content[0].tag == "VALUE" and not item.array:
        return item.parse(text_of(content[0]))
    if content[0].tag == "VALUE.ARRAY" and item.array:
        return [_read_member(item, child) for child in content[0]]
    raise _mismatch(item, f"is given as {content[0].tag}")


def _read_member(item: Declared, element: Element) -> CimScalar | None:
    if element.tag == "VALUE.NULL":
        return None
    if element.tag != "VALUE":
        raise _mismatch(item, f"has the member {element.tag}")
    return item.parse(text_of(element))


def _read_key(binding: Element, cim_class: CimClass) -> tuple[str, str]:
    if binding.tag == "KEYBINDING" and len(binding) == 1:
        key, value = cim_class.get_key(binding.get("NAME") or ""), binding[0]
    elif binding.tag == "KEYVALUE" and len(cim_class.keys) == 1:
        key, value = cim_class.keys[0], binding
    else:
        raise KeysError("Unexpected", f"{binding.tag} is not one key of {cim_class.name}")
    if value.tag != "KEYVALUE" or not _is_of(key, value):
        raise KeysError("TypeMismatch", f"{key.name} is not given as a {key.type}", [key.name])
    return key.name, text_of(value)


def _is_of(key: Property, value: Element) -> bool:
    stated = value.get("TYPE")
    if stated is not None:
        return stated.strip().lower() == key.type
    return key.type in _KEY_TYPES.get((value.get("VALUETYPE") or "string").lower(), ())


def _check_type(item: Declared, stated: str | None) -> None:
    if stated is not None and stated.strip().lower() != item.type:
        raise _mismatch(item, f"is given as {stated}")


def _mismatch(item: Declared, reason: str) -> CimError:
    return CimError(
        CimStatus.TYPE_MISMATCH,
        f"{item.name} ({item.type}{'[]' * item.array}) {reason}",
        wbem=WBEM_E_TYPE_MISMATCH,
        names=[item.name],
    )
