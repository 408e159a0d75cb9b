"""The schema as clients get it, over both protocols, is the interface table."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pypsrp.wsman import OptionSet
from pywbem._tupleparse import TupleParser
from pywbem._tupletree import xml_to_tupletree_sax

from fakes.cimxml_client import connect
from fakes.guards import OpenGuard
from fakes.wsman_client import FrameClient, selectors
from openrdms.cim.object_manager import Namespaces
from openrdms.cim.provider import Caller
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.frontends.wsman.service import Service
from openrdms.providers.interop import Server
from openrdms.providers.namespaces import make_namespaces

TABLE = json.loads((Path(__file__).parents[1] / "data" / "rdms-interface.json").read_text())
CLASSES = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*"
CALLER = Caller("admin", "127.0.0.1", "administrator")

GetClass = Callable[[str], Any]


def over_wsman(namespaces: Namespaces) -> GetClass:
    service = Service(namespaces, "1")
    client = FrameClient(lambda data: service.handle(CALLER, data))
    options = OptionSet()
    for name in ("IncludeQualifiers", "IncludeInheritanceHierarchy"):  # as Get-CimClass does
        options.add_option(name, "true", {"Type": "xs:boolean"})

    def get(name: str) -> Any:
        keys = selectors(__cimnamespace=TABLE["namespace"], ClassName=name)
        (element,) = client.get(CLASSES, selector_set=keys, option_set=options, timeout=1)
        return TupleParser().parse_any(xml_to_tupletree_sax(ET.tostring(element), "reply"))

    return get


def over_cim_xml(namespaces: Namespaces) -> GetClass:
    connection = connect(CimXmlServer(namespaces))
    return lambda name: connection.GetClass(name, namespace=TABLE["namespace"])


@pytest.fixture(scope="module", params=[over_wsman, over_cim_xml])
def get_class(request: pytest.FixtureRequest) -> GetClass:
    namespaces = make_namespaces({}, [], OpenGuard(), Server("broker.test", "1"))
    return request.param(namespaces)


def value_of(element: Any, qualifier: str) -> Any:
    found = element.qualifiers.get(qualifier)
    return None if found is None else found.value


def describe_element(item: Any) -> dict[str, Any]:
    entry = {"type": item.type}
    return entry | {"array": True} if item.is_array else entry


def describe_property(item: pywbem.CIMProperty) -> dict[str, Any]:
    entry = describe_element(item)
    entry["access"] = "read/write" if value_of(item, "Write") else "read"
    for name in ("Key", "Optional", "MaxLen"):
        if (value := value_of(item, name)) is not None:
            entry[name.lower()] = value
    if item.value is not None:
        entry["default"] = str(item.value).lower()
    return entry


def describe_method(method: pywbem.CIMMethod) -> dict[str, Any]:
    ordered = sorted(method.parameters.values(), key=lambda item: value_of(item, "ID"))
    parameters = [
        {"name": item.name}
        | describe_element(item)
        | {"direction": "out" if value_of(item, "Out") else "in"}
        for item in ordered
    ]
    entry = {"returns": method.return_type, "parameters": parameters}
    return entry | {"static": True} if value_of(method, "Static") else entry


@pytest.mark.parametrize("name", TABLE["classes"])
def test_the_served_class_equals_the_table(get_class: GetClass, name: str) -> None:
    found = get_class(name)
    assert {
        "properties": {item.name: describe_property(item) for item in found.properties.values()},
        "methods": {item.name: describe_method(item) for item in found.methods.values()},
    } == TABLE["classes"][name]
