"""What the operations of DSP0200 have in common: their parameters, and what they work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from openrdms.cim import types
from openrdms.cim.object_manager import ObjectManager
from openrdms.cim.provider import Caller
from openrdms.cim.schema import CimClass
from openrdms.cim.types import CimType
from openrdms.frontends.cimxml.message import class_of
from openrdms.frontends.cimxml.values import invalid, text_of
from openrdms.frontends.xml_input import Element


@dataclass(frozen=True)
class Scope:
    """Who asks which namespace. ``host`` is what the client calls us, for paths in replies."""

    caller: Caller
    manager: ObjectManager
    host: str


class Arguments:
    """The IPARAMVALUEs of a call. One that is left out, or empty, is NULL.

    Every method raises CimError INVALID_PARAMETER, naming the parameter.
    """

    def __init__(self, known: frozenset[str], elements: Iterable[Element]) -> None:
        """``known`` are the names that the operation has, in lower case."""
        self._values: dict[str, Element] = {}
        given: set[str] = set()
        for element in elements:
            name = element.get("NAME") or ""
            if name.lower() not in known:
                raise invalid(name, "is no parameter of this operation", "InvalidName")
            if name.lower() in given or len(element) > 1:
                raise invalid(name, "is given twice")
            given.add(name.lower())
            if len(element):
                self._values[name.lower()] = element[0]

    def find(self, name: str, *tags: str) -> Element | None:
        """Its element, one of ``tags``; None for NULL."""
        found = self._values.get(name.lower())
        if found is not None and found.tag not in tags:
            raise invalid(name, f"is {found.tag} instead of {' or '.join(tags)}")
        return found

    def get(self, name: str, *tags: str) -> Element:
        """As ``find``, but not NULL."""
        found = self.find(name, *tags)
        if found is None:
            raise invalid(name, "is missing", "MissingValues")
        return found

    def find_text(self, name: str) -> str | None:
        found = self.find(name, "VALUE")
        return None if found is None else text_of(found)

    def get_text(self, name: str) -> str:
        return text_of(self.get(name, "VALUE"))

    def flag(self, name: str, *, default: bool = False) -> bool:
        text = self.find_text(name)
        return default if text is None else bool(_parse(name, CimType.BOOLEAN, text))

    def find_number(self, name: str) -> int | None:
        text = self.find_text(name)
        return None if text is None else int(str(_parse(name, CimType.UINT32, text)))

    def find_names(self, name: str) -> tuple[str, ...] | None:
        """A list such as PropertyList, as given; None for NULL."""
        found = self.find(name, "VALUE.ARRAY")
        if found is None:
            return None
        if any(item.tag != "VALUE" for item in found):
            raise invalid(name, "is not a list of names")
        return tuple(text_of(item).strip() for item in found)

    def find_properties(self) -> frozenset[str] | None:
        """PropertyList in lower case: names that the class does not have mean nothing."""
        names = self.find_names("PropertyList")
        return None if names is None else frozenset(name.lower() for name in names)

    def get_class(self, scope: Scope) -> CimClass:
        """The class that ClassName names; INVALID_CLASS when there is none."""
        return scope.manager.schema.get_class(class_of(self.get("ClassName", "CLASSNAME")))


@dataclass(frozen=True)
class Operation:
    """One operation: ``answer`` returns what the IMETHODRESPONSE holds, or raises CimError."""

    parameters: frozenset[str]
    answer: Callable[[Scope, Arguments], str]


def operation(parameters: str, answer: Callable[[Scope, Arguments], str]) -> Operation:
    """``parameters`` are names with spaces between."""
    return Operation(frozenset(parameters.lower().split()), answer)


def returned(content: str) -> str:
    """What an operation returns."""
    return f"<IRETURNVALUE>{content}</IRETURNVALUE>"


def _parse(name: str, cim_type: CimType, text: str) -> types.CimScalar:
    try:
        return types.parse_scalar(cim_type, text)
    except ValueError as error:
        raise invalid(name, str(error)) from error
