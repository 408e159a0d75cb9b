"""The MOF equals the interface table, and our MOF reader agrees with a foreign compiler."""

import json
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem._mof_compiler import MOFWBEMConnection

from openrdms.cim.schema import CimClass, Element, Method, Property
from openrdms.providers import schema
from openrdms.providers.schema import NAMESPACE, load_rdms

TABLE = json.loads((Path(__file__).parents[1] / "data" / "rdms-interface.json").read_text())
MOF = Path(schema.__file__).with_name("rdms.mof")


def describe_element(item: Element) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": item.name, "type": str(item.type)}
    return entry | {"array": True} if item.array else entry


def describe_property(item: Property) -> dict[str, Any]:
    entry = describe_element(item)
    del entry["name"]
    entry["access"] = "read/write" if item.writable else "read"
    if item.key:
        entry["key"] = True
    if item.optional:
        entry["optional"] = True
    if item.max_length is not None:
        entry["maxlen"] = item.max_length
    if item.default is not None:
        entry["default"] = str(item.default).lower()
    return entry


def describe_method(method: Method) -> dict[str, Any]:
    parameters = [
        describe_element(item) | {"direction": "out" if item.is_output else "in"}
        for item in method.parameters
    ]
    entry: dict[str, Any] = {"returns": str(method.returns), "parameters": parameters}
    return entry | {"static": True} if method.is_static else entry


def describe(cim_class: CimClass) -> dict[str, Any]:
    return {
        "properties": {item.name: describe_property(item) for item in cim_class.properties},
        "methods": {method.name: describe_method(method) for method in cim_class.methods},
    }


def test_there_are_exactly_the_13_classes() -> None:
    assert TABLE["namespace"] == NAMESPACE
    assert [item.name for item in load_rdms().classes] == list(TABLE["classes"])
    assert len(load_rdms().classes) == 13


@pytest.mark.parametrize("name", TABLE["classes"])
def test_the_mof_equals_the_table(name: str) -> None:
    cim_class, expected = load_rdms().get_class(name), TABLE["classes"][name]
    assert describe(cim_class) == expected
    assert [item.name for item in cim_class.properties] == list(expected["properties"])
    assert [item.name for item in cim_class.methods] == list(expected["methods"])


@pytest.fixture(scope="module")
def compiled() -> Any:
    connection = MOFWBEMConnection()
    pywbem.MOFCompiler(connection, log_func=None).compile_file(str(MOF), NAMESPACE)
    return connection.classes[NAMESPACE]


@pytest.mark.parametrize("name", TABLE["classes"])
def test_pywbem_compiles_the_same_classes(compiled: Any, name: str) -> None:
    ours, theirs = load_rdms().get_class(name), compiled[name]
    assert [(p.name, str(p.type), p.array, p.key) for p in ours.properties] == [
        (p.name, p.type, bool(p.is_array), "Key" in p.qualifiers)
        for p in theirs.properties.values()
    ]
    assert [(m.name, str(m.returns), m.is_static) for m in ours.methods] == [
        (m.name, m.return_type, "Static" in m.qualifiers) for m in theirs.methods.values()
    ]
    for method in ours.methods:
        parameters = theirs.methods[method.name].parameters.values()
        assert [(p.name, str(p.type), p.array, p.is_output) for p in method.parameters] == [
            (p.name, p.type, bool(p.is_array), "Out" in p.qualifiers) for p in parameters
        ]
        assert [p.qualifiers["ID"].value for p in parameters] == list(range(len(parameters)))
