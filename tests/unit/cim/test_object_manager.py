from collections.abc import Mapping

import pytest

from fakes.guards import OpenGuard
from fakes.widgets import SCHEMA, Widgets
from openrdms.cim.errors import CimError, CimStatus, KeysError
from openrdms.cim.object_manager import ObjectManager
from openrdms.cim.provider import Caller
from openrdms.cim.types import CimValue

CALLER = Caller("admin", "127.0.0.1", "administrator")
KEYS: dict[str, CimValue] = {"NAME": "one", "slot": 1}


@pytest.fixture
def widgets() -> Widgets:
    widgets = Widgets()
    widgets.add("One", 1, Text="first", Enabled=True)
    return widgets


@pytest.fixture
def manager(widgets: Widgets) -> ObjectManager:
    return ObjectManager(SCHEMA, {"test_widget": widgets}, OpenGuard())


def test_names_of_classes_and_keys_are_found_in_any_case(manager: ObjectManager) -> None:
    assert manager.get(CALLER, "TEST_widget", KEYS).properties["Text"] == "first"


@pytest.mark.parametrize(
    ("keys", "problem", "names"),
    [
        ({"Name": "one"}, "Insufficient", ("Slot",)),
        ({}, "Insufficient", ("Name", "Slot")),
        ({"Name": "one", "Slot": None}, "Insufficient", ("Slot",)),
        ({"Name": "one", "Slot": 1, "Text": "x"}, "Unexpected", ("Text",)),
        ({"Name": "one", "Slot": 1, "Nothing": "x"}, "Unexpected", ("Nothing",)),
    ],
)
def test_wrong_keys_are_named(
    manager: ObjectManager, keys: Mapping[str, CimValue], problem: str, names: tuple[str, ...]
) -> None:
    with pytest.raises(KeysError) as caught:
        manager.get(CALLER, "Test_Widget", keys)
    assert (caught.value.problem, caught.value.names) == (problem, names)


@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        ([("Name", "a"), ("NAME", "b")], "Duplicate"),
        ([("Slot", "many")], "TypeMismatch"),
        ([("Slot", "4294967296")], "TypeMismatch"),
        ([("Colour", "red")], "Unexpected"),
    ],
)
def test_keys_as_text_are_checked(pairs: list[tuple[str, str]], problem: str) -> None:
    with pytest.raises(KeysError) as caught:
        SCHEMA.get_class("Test_Widget").parse_keys(pairs)
    assert caught.value.problem == problem


def test_an_unknown_class_and_method_and_property(manager: ObjectManager) -> None:
    for status, call in (
        (CimStatus.INVALID_CLASS, lambda: manager.enumerate(CALLER, "Test_Gadget")),
        (
            CimStatus.METHOD_NOT_FOUND,
            lambda: manager.invoke(CALLER, "Test_Widget", "Jump", {}, {}),
        ),
        (
            CimStatus.NO_SUCH_PROPERTY,
            lambda: manager.modify(CALLER, "Test_Widget", KEYS, {"Colour": "red"}),
        ),
    ):
        with pytest.raises(CimError) as caught:
            call()
        assert caught.value.status is status


def test_a_class_without_a_provider_is_not_supported(manager: ObjectManager) -> None:
    with pytest.raises(CimError) as caught:
        manager.get(CALLER, "Test_Silent", {"Name": "x"})
    assert caught.value.status is CimStatus.NOT_SUPPORTED
    assert "Test_Silent" in str(caught.value)


def test_parameters_reach_the_provider_in_the_schemas_spelling(manager: ObjectManager) -> None:
    result = manager.invoke(CALLER, "Test_Widget", "ADD", {}, {"RIGHT": 2, "left": 3})
    assert result.outputs == {"Sum": 5}


@pytest.mark.parametrize(
    ("parameters", "problem", "names"),
    [
        ({"Left": 1}, "MissingValues", ("Right",)),
        ({"Left": 1, "Right": 2, "Middle": 3}, "InvalidName", ("Middle",)),
        ({"Left": 1, "Right": 2, "Sum": 3}, "InvalidName", ("Sum",)),
        ({"Left": 1, "Right": 2**32}, "InvalidValue", ("Right",)),
        ({"Left": 1, "Right": [2]}, "InvalidValue", ("Right",)),
    ],
)
def test_wrong_parameters_never_reach_the_provider(
    manager: ObjectManager,
    widgets: Widgets,
    parameters: Mapping[str, CimValue],
    problem: str,
    names: tuple[str, ...],
) -> None:
    with pytest.raises(CimError) as caught:
        manager.invoke(CALLER, "Test_Widget", "Add", {}, parameters)
    assert (caught.value.problem, caught.value.names) == (problem, names)
    assert widgets.calls == 0


def test_null_is_a_value_of_a_parameter(manager: ObjectManager) -> None:
    parameters: dict[str, CimValue] = {"Text": None, "Tags": None, "When": None}
    result = manager.invoke(CALLER, "Test_Widget", "Echo", {}, parameters)
    assert result.outputs == {"TextOut": None, "TagsOut": None, "WhenOut": None}


def test_a_static_method_takes_keys_too(manager: ObjectManager) -> None:
    parameters: dict[str, CimValue] = {"Left": 1, "Right": 1}
    result = manager.invoke(CALLER, "Test_Widget", "Add", KEYS, parameters)
    assert result.outputs == {"Sum": 2}


def test_an_instance_method_needs_its_keys(manager: ObjectManager) -> None:
    with pytest.raises(KeysError) as caught:
        manager.invoke(CALLER, "Test_Widget", "Rename", {}, {"Text": "x"})
    assert caught.value.problem == "Insufficient"


def test_a_whole_instance_can_be_sent_back(manager: ObjectManager) -> None:
    whole = dict(manager.get(CALLER, "Test_Widget", KEYS).properties)
    manager.modify(CALLER, "Test_Widget", KEYS, whole | {"Text": "second", "Name": "ONE"})
    assert manager.get(CALLER, "Test_Widget", KEYS).properties["Text"] == "second"


@pytest.mark.parametrize("change", [{"Serial": 1}, {"Name": "two"}, {"Slot": 2}])
def test_what_is_read_only_stays(manager: ObjectManager, change: Mapping[str, CimValue]) -> None:
    with pytest.raises(CimError, match="read-only"):
        manager.modify(CALLER, "Test_Widget", KEYS, {"Text": "second", **change})
    assert manager.get(CALLER, "Test_Widget", KEYS).properties["Text"] == "first"


def test_create_refuses_read_only_properties_and_null_keys(manager: ObjectManager) -> None:
    for properties in ({"Name": "x", "Slot": 1, "Serial": 1}, {"Name": None, "Slot": 1}):
        with pytest.raises(CimError):
            manager.create(CALLER, "Test_Widget", properties)


def test_create_must_give_every_key(manager: ObjectManager, widgets: Widgets) -> None:
    assert manager.create(CALLER, "Test_Widget", {"Name": "two", "Slot": 2}) == {
        "Name": "two",
        "Slot": 2,
    }

    class Forgetful(Widgets):
        def create(
            self, caller: Caller, properties: Mapping[str, CimValue]
        ) -> Mapping[str, CimValue]:
            return {"Name": "two"}

    forgetful = ObjectManager(SCHEMA, {"Test_Widget": Forgetful()}, OpenGuard())
    with pytest.raises(CimError, match="gave no Slot"):
        forgetful.create(CALLER, "Test_Widget", {"Name": "two", "Slot": 2})


def test_delete(manager: ObjectManager) -> None:
    manager.delete(CALLER, "Test_Widget", KEYS)
    with pytest.raises(CimError) as caught:
        manager.delete(CALLER, "Test_Widget", KEYS)
    assert caught.value.status is CimStatus.NOT_FOUND
