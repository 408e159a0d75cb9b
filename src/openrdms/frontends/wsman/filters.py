"""Filters of an enumeration: WQL, selectors, associations."""

from __future__ import annotations

from dataclasses import dataclass

from openrdms.cim import wql
from openrdms.cim.errors import CimError
from openrdms.cim.object_manager import equal_ignoring_case
from openrdms.cim.schema import CimClass
from openrdms.cim.types import CimScalar
from openrdms.cim.wql import Query
from openrdms.frontends.wsman import faults, names, resource, soap
from openrdms.frontends.wsman.faults import Fault
from openrdms.frontends.wsman.resource import ALL_CLASSES, Resource
from openrdms.frontends.wsman.soap import Element


@dataclass(frozen=True)
class Filter:
    """A filter as sent."""

    dialect: str
    element: Element


def find(body: Element) -> Filter | None:
    """The filter of an Enumerate, which either protocol's namespace may hold."""
    for namespace in (names.WSMAN, names.ENUMERATION):
        element = body.find(f"{{{namespace}}}Filter")
        if element is not None:
            return Filter((element.get("Dialect") or "").strip(), element)
    return None


def read(target: Resource, asked: Filter | None) -> Query:
    """Which instances of which class are wanted; Fault or CimError."""
    if asked is None:
        if target.class_name == ALL_CLASSES:
            raise Fault(faults.FILTERING_REQUIRED, "all classes can only be enumerated by WQL")
        return Query(target.class_name, None)
    if asked.dialect == names.DIALECT_WQL:
        return _wql(target, asked.element)
    if asked.dialect == names.DIALECT_SELECTOR:
        return _selectors(target.get_class(), asked.element)
    raise Fault(
        faults.DIALECT_UNAVAILABLE, "the filter dialects are WQL, SelectorFilter, associationFilter"
    )


def check_association(target: Resource, asked: Filter) -> None:
    """Fault unless it is about an instance of some class; CimError INVALID_CLASS."""
    uri = asked.element.findtext(f".//{{{names.WSMAN}}}ResourceURI")
    if uri is None:
        raise Fault(faults.CANNOT_PROCESS_FILTER, "the filter names no Object")
    target.manager.schema.get_class(resource.class_name_of(uri.strip()))


def _wql(target: Resource, element: Element) -> Query:
    query = wql.parse(element.text or "", target.manager.schema.get_class)
    if target.class_name.lower() not in (ALL_CLASSES, query.class_name.lower()):
        raise Fault(faults.CANNOT_PROCESS_FILTER, f"the query is not about {target.class_name}")
    return query


def _selectors(cim_class: CimClass, element: Element) -> Query:
    wanted: dict[str, CimScalar] = {}
    for name, text in (pair for child in element for pair in soap.read_selectors(child)):
        if not isinstance(text, str):
            raise Fault(faults.CANNOT_PROCESS_FILTER, f"{name} is not a reference")
        try:
            item = cim_class.get_property(name)
            wanted[item.name] = item.parse(text)
        except CimError as error:
            raise Fault(faults.CANNOT_PROCESS_FILTER, str(error), error=error) from error
    return Query(
        cim_class.name,
        None,
        lambda present: all(equal_ignoring_case(present.get(n), v) for n, v in wanted.items()),
        wanted,
    )
