"""The same questions to our server and to pywbem's mock of one: the answers must not differ."""

from collections.abc import Callable
from typing import Any

import pytest
import pywbem
import pywbem_mock

from fakes.cimxml_client import connect, serve
from fakes.widgets import MOF, NAMESPACE, Widgets

CLASS = "Test_Widget"
QUALIFIERS = """
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride, ToSubclass);
Qualifier Read : boolean = true, Scope(property);
Qualifier Write : boolean = false, Scope(property);
Qualifier Static : boolean = false, Scope(property, method);
Qualifier In : boolean = true, Scope(parameter);
Qualifier Out : boolean = false, Scope(parameter);
Qualifier ID : sint32 = null, Scope(parameter);
"""

Question = Callable[[pywbem.WBEMConnection], Any]


@pytest.fixture(scope="module")
def ours() -> pywbem.WBEMConnection:
    widgets = Widgets()
    for number in range(1, 6):
        widgets.add(f"w{number}", number, Text=f"<{number}>", Tags=["a", ""], Enabled=number > 2)
    return connect(serve(widgets), use_pull_operations=True)


@pytest.fixture(scope="module")
def mock(ours: pywbem.WBEMConnection) -> pywbem.WBEMConnection:
    """It has the same classes, and the instances that we say we have."""
    mock = pywbem_mock.FakedWBEMConnection(NAMESPACE, use_pull_operations=True)
    mock.compile_mof_string(QUALIFIERS + MOF, NAMESPACE)
    mock.add_cimobjects(ours.EnumerateInstances(CLASS), NAMESPACE)
    return mock


def path(name: str = "w1", slot: int = 1, class_name: str = CLASS) -> pywbem.CIMInstanceName:
    keys = {"Name": name, "Slot": pywbem.Uint32(slot)}
    return pywbem.CIMInstanceName(class_name, keys, namespace=NAMESPACE)


def answer(connection: pywbem.WBEMConnection, question: Question) -> Any:
    """What it says, in a form that can be compared; the status of an error."""
    try:
        found = question(connection)
    except pywbem.CIMError as error:
        return error.status_code
    return sorted(map(_plain, found), key=str) if isinstance(found, list) else _plain(found)


def _plain(item: Any) -> Any:
    if isinstance(item, pywbem.CIMInstance):
        return item.classname, dict(item), item.path and _plain(item.path)
    if isinstance(item, pywbem.CIMInstanceName):
        without_host = pywbem.CIMInstanceName(item.classname, item.keybindings)
        return without_host.to_wbem_uri("canonical")
    if isinstance(item, pywbem.CIMClass):
        features = {**item.properties, **item.methods}
        return item.classname, {name: _declared(feature) for name, feature in features.items()}
    return item


def _declared(feature: Any) -> Any:
    if isinstance(feature, pywbem.CIMMethod):
        parameters = {name: (p.type, p.is_array) for name, p in feature.parameters.items()}
        return feature.return_type, parameters
    return feature.type, feature.is_array, "Key" in feature.qualifiers


@pytest.mark.parametrize(
    "question",
    [
        lambda c: c.EnumerateClassNames(),
        lambda c: c.EnumerateClassNames(ClassName=CLASS),
        lambda c: c.EnumerateClassNames(ClassName="Test_Other"),
        lambda c: c.EnumerateClasses(),
        lambda c: c.GetClass(CLASS),
        lambda c: c.GetClass(CLASS, PropertyList=["TEXT"]),
        lambda c: c.GetClass("Test_Other"),
        lambda c: c.GetClass(CLASS, namespace="root/other"),
        lambda c: c.EnumerateInstances(CLASS),
        lambda c: c.EnumerateInstances(CLASS, PropertyList=["Text", "Other"]),
        lambda c: c.EnumerateInstances("Test_Other"),
        lambda c: c.EnumerateInstanceNames(CLASS),
        lambda c: c.EnumerateInstanceNames("Test_Other"),
        lambda c: c.GetInstance(path()),
        lambda c: c.GetInstance(path("W9", 9)),
        lambda c: c.GetInstance(path(class_name="Test_Other")),
        lambda c: c.GetInstance(path(), PropertyList=["slot"]),
        lambda c: c.GetInstance(path(), PropertyList=[]),
        lambda c: c.DeleteInstance(path("w9", 9)),
        lambda c: c.DeleteInstance(path(class_name="Test_Other")),
        lambda c: c.ModifyInstance(pywbem.CIMInstance(CLASS, {"Text": "x"}, path=path("w9", 9))),
        lambda c: c.CreateInstance(
            pywbem.CIMInstance(CLASS, {"Name": "w1", "Slot": pywbem.Uint32(1)})
        ),
        lambda c: c.CreateInstance(pywbem.CIMInstance("Test_Other", {"Name": "w1"})),
        lambda c: list(c.IterEnumerateInstances(CLASS, MaxObjectCount=2)),
        lambda c: list(c.IterEnumerateInstancePaths(CLASS, MaxObjectCount=2)),
        lambda c: list(c.IterAssociatorInstances(path(), MaxObjectCount=2)),
        lambda c: c.OpenEnumerateInstances("Test_Other"),
        lambda c: c.CloseEnumeration(("none", NAMESPACE)),
        lambda c: c.PullInstancesWithPath(("none", NAMESPACE), 5),
        lambda c: c.Associators(CLASS),
        lambda c: c.AssociatorNames(path()),
        lambda c: c.References("Test_Other"),
        lambda c: c.ReferenceNames(path(), ResultClass="Test_Other"),
    ],
)
def test_both_say_the_same(
    ours: pywbem.WBEMConnection, mock: pywbem.WBEMConnection, question: Question
) -> None:
    assert answer(ours, question) == answer(mock, question)
