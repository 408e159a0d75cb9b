"""The schema that clients are served over both protocols equals the interface table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import pywbem
from pypsrp.wsman import OptionSet, SelectorSet
from pywbem._tupleparse import TupleParser
from pywbem._tupletree import xml_to_tupletree_sax

from conformance.speakers import TABLE, CimXmlSpeaker
from conftest import ServiceFactory
from live.service import Service
from live.wire import CIM_NAMESPACE, SOAP

SCHEMA_URI = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*"

GetClass = Callable[[str], pywbem.CIMClass]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("schema")
    ports = ["--cimxml-http-port", "0", "--cimxml-https-port", "0"]
    return running_service(place / "state", f"simulator://{place}/cluster?hosts=1", options=ports)


def over_cim_xml(service: Service) -> GetClass:
    connection = CimXmlSpeaker(service).connection
    return lambda name: connection.GetClass(name, LocalOnly=False, IncludeQualifiers=True)


def over_ws_management(service: Service) -> GetClass:
    client = service.client()

    def get_class(name: str) -> pywbem.CIMClass:
        selectors = SelectorSet()
        selectors.add_option("__cimnamespace", CIM_NAMESPACE)
        selectors.add_option("ClassName", name)
        options = OptionSet()
        options.add_option("IncludeQualifiers", "true")
        body = client.get(SCHEMA_URI, selector_set=selectors, option_set=options)
        [declared] = body if body.tag == f"{SOAP}Body" else [body]
        tree = xml_to_tupletree_sax(ET.tostring(declared), "class")
        return TupleParser().parse_class(tree)

    return get_class


@pytest.fixture(
    scope="module",
    params=[over_ws_management, over_cim_xml],
    ids=["WS-Management", "CIM-XML"],
)
def get_class(service: Service, request: pytest.FixtureRequest) -> GetClass:
    made: GetClass = request.param(service)
    return made


@pytest.mark.parametrize("name", TABLE)
def test_the_class_served_equals_the_table(get_class: GetClass, name: str) -> None:
    served = get_class(name)
    assert served.classname == name
    assert {item.name: describe(item) for item in served.properties.values()} == {
        key: expected(item) for key, item in TABLE[name]["properties"].items()
    }
    assert {item.name: describe_method(item) for item in served.methods.values()} == {
        key: expected_method(item) for key, item in TABLE[name]["methods"].items()
    }


def describe(item: pywbem.CIMProperty) -> Mapping[str, Any]:
    return {
        "type": item.type,
        "array": bool(item.is_array),
        "key": flag(item, "Key"),
        "write": flag(item, "Write"),
    }


def expected(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": item["type"],
        "array": bool(item.get("array")),
        "key": bool(item.get("key")),
        "write": "write" in item["access"],
    }


def describe_method(method: pywbem.CIMMethod) -> Mapping[str, Any]:
    parameters = [
        (item.name, item.type, bool(item.is_array), "out" if flag(item, "Out") else "in")
        for item in sorted(method.parameters.values(), key=lambda one: one.qualifiers["ID"].value)
    ]
    return {"returns": method.return_type, "static": flag(method, "Static"), "with": parameters}


def expected_method(method: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = [
        (item["name"], item["type"], bool(item.get("array")), item["direction"])
        for item in method["parameters"]
    ]
    static = bool(method.get("static"))
    return {"returns": method["returns"], "static": static, "with": parameters}


def flag(item: Any, qualifier: str) -> bool:
    found = item.qualifiers.get(qualifier)
    return bool(found and found.value)
