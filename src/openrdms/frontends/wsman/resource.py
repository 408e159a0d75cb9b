"""What a request addresses: resource URI and selectors, in either family of URIs.

Microsoft's URIs carry the namespace, DMTF's leave it to the selector ``__cimnamespace``; without
that one they mean the default namespace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openrdms.cim.errors import KeysError
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.schema import CimClass
from openrdms.cim.types import CimValue
from openrdms.frontends.wsman import faults, names
from openrdms.frontends.wsman.faults import Fault
from openrdms.frontends.wsman.soap import Element, Request

NAMESPACE_SELECTOR = "__cimnamespace"
ALL_CLASSES = "*"
_SCHEMA = "*schema"
"""Stands for the class schema where a class is named: no class can have this name."""


@dataclass(frozen=True)
class Resource:
    """One class, or ``*`` for all, of the namespace that ``manager`` answers for.

    ``uri`` is as the client wrote it: replies use it for their XML namespace.
    """

    uri: str
    manager: ObjectManager
    class_name: str
    selectors: tuple[tuple[str, str | Element], ...] = ()
    is_schema: bool = False
    """The declarations of classes are meant, not instances."""

    @property
    def namespace(self) -> str:
        return self.manager.schema.namespace

    def get_class(self) -> CimClass:
        """The class of instances; CimError INVALID_CLASS when the namespace has none."""
        if self.is_schema:
            raise Fault(faults.ACTION_NOT_SUPPORTED, "the class schema can only be read")
        return self.manager.schema.get_class(self.class_name)

    @property
    def is_microsoft(self) -> bool:
        """True for the URI family that carries the namespace."""
        return self.uri.lower().startswith(names.MS_CLASSES)

    def uri_of(self, cim_class: CimClass) -> str:
        """The URI of a class in this family; a class asked for by name keeps its spelling."""
        if self.class_name != ALL_CLASSES:
            return self.uri
        if self.is_microsoft:
            return self.uri.removesuffix(ALL_CLASSES) + cim_class.name
        return names.DMTF_CLASSES + cim_class.name

    def keys(self, cim_class: CimClass) -> dict[str, CimValue]:
        """The key selectors as values; KeysError for what is no key of the class."""
        pairs: list[tuple[str, str]] = []
        for name, value in self.selectors:
            if not isinstance(value, str):
                raise KeysError("TypeMismatch", f"{name} is not a reference", [name])
            pairs.append((name, value))
        return cim_class.parse_keys(pairs)


def read(request: Request, namespaces: Namespaces) -> Resource:
    """The resource of a request; raises Fault or CimError INVALID_NAMESPACE."""
    chosen: list[str] = []
    keys: list[tuple[str, str | Element]] = []
    for name, value in request.selectors:
        if name.lower() == NAMESPACE_SELECTOR:
            chosen.append(str(value))
        else:
            keys.append((name, value))
    if len(chosen) > 1:
        raise KeysError("Duplicate", f"{NAMESPACE_SELECTOR} is given twice", [NAMESPACE_SELECTOR])
    named, class_name = _split(request.resource_uri)
    manager = namespaces.get(named) if named else namespaces.default
    if chosen and not named:
        manager = namespaces.get(chosen[0])
    elif chosen and namespaces.find(chosen[0]) is not manager:
        raise KeysError(
            "Unexpected", "__cimnamespace and the URI's namespace differ", [NAMESPACE_SELECTOR]
        )
    if class_name == _SCHEMA:
        return Resource(request.resource_uri, manager, _schema_of(keys), is_schema=True)
    return Resource(request.resource_uri, manager, class_name, tuple(keys))


def _schema_of(selectors: Iterable[tuple[str, str | Element]]) -> str:
    """The class whose declaration is meant: every one without a selector ClassName."""
    chosen = ALL_CLASSES
    for name, value in selectors:
        if name.lower() != "classname" or not isinstance(value, str):
            raise KeysError("Unexpected", f"the class schema has no selector {name}", [name])
        chosen = value.strip() or ALL_CLASSES
    return chosen


def class_name_of(uri: str) -> str:
    """The class that a resource URI names; Fault for any other URI."""
    return _split(uri)[1]


def _split(uri: str) -> tuple[str, str]:
    """Namespace ("" when the URI carries none) and class name."""
    folded = uri.lower()
    if folded.startswith(names.MS_CLASSES):
        namespace, _, class_name = uri[len(names.MS_CLASSES) :].rpartition("/")
        if namespace and class_name:
            return namespace, class_name
    elif folded == names.DMTF_ALL_CLASSES:
        return "", ALL_CLASSES
    elif folded.startswith(names.DMTF_CLASSES) and len(uri) > len(names.DMTF_CLASSES):
        return "", uri[len(names.DMTF_CLASSES) :]
    elif folded == names.CLASS_SCHEMA:
        return "", _SCHEMA
    raise Fault(faults.INVALID_RESOURCE_URI, "the resource URI names no CIM class")
