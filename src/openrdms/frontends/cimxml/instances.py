"""Operations on instances (DSP0200), with the deprecated GetProperty."""

from __future__ import annotations

from openrdms.cim.cimxml import render_value
from openrdms.cim.schema import CimClass
from openrdms.cim.types import CimInstance, CimValue
from openrdms.frontends.cimxml.intrinsic import Arguments, Scope, operation, returned
from openrdms.frontends.cimxml.message import class_of
from openrdms.frontends.cimxml.rendering import (
    asked_renderer,
    joined_renderer,
    name_renderer,
    render_name,
)
from openrdms.frontends.cimxml.values import invalid, read_instance, read_keys
from openrdms.frontends.xml_input import Element


def _get(scope: Scope, arguments: Arguments) -> str:
    cim_class, instance = _find(scope, arguments)
    return returned(asked_renderer(cim_class, arguments)(instance))


def _enumerate(scope: Scope, arguments: Arguments) -> str:
    cim_class = arguments.get_class(scope)
    render = joined_renderer(
        "VALUE.NAMEDINSTANCE",
        name_renderer(cim_class),
        asked_renderer(cim_class, arguments),
    )
    return returned("".join(map(render, scope.manager.enumerate(scope.caller, cim_class.name))))


def _enumerate_names(scope: Scope, arguments: Arguments) -> str:
    cim_class = arguments.get_class(scope)
    render = name_renderer(cim_class)
    return returned("".join(map(render, scope.manager.enumerate(scope.caller, cim_class.name))))


def _create(scope: Scope, arguments: Arguments) -> str:
    instance = arguments.get("NewInstance", "INSTANCE")
    cim_class = scope.manager.schema.get_class(_class_of(instance))
    properties = read_instance(instance, cim_class)
    keys = scope.manager.create(scope.caller, cim_class.name, properties)
    return returned(render_name(cim_class, keys))


def _modify(scope: Scope, arguments: Arguments) -> str:
    named = arguments.get("ModifiedInstance", "VALUE.NAMEDINSTANCE")
    if [child.tag for child in named] != ["INSTANCENAME", "INSTANCE"]:
        raise invalid("ModifiedInstance", "is not a name and an instance")
    name, instance = named
    cim_class = scope.manager.schema.get_class(class_of(name))
    if _class_of(instance).lower() != cim_class.name.lower():
        raise invalid("ModifiedInstance", f"is an instance of {_class_of(instance)}")
    keys = read_keys(name, cim_class)
    changes = _choose(cim_class, read_instance(instance, cim_class), arguments)
    scope.manager.modify(scope.caller, cim_class.name, keys, changes)
    return ""


def _choose(
    cim_class: CimClass, given: dict[str, CimValue], arguments: Arguments
) -> dict[str, CimValue]:
    """What is to be changed: a listed property that is not given becomes its default or NULL."""
    names = arguments.find_names("PropertyList")
    if names is None:
        return given
    chosen = [cim_class.get_property(name) for name in names]
    return {item.name: given.get(item.name, item.default) for item in chosen}


def _delete(scope: Scope, arguments: Arguments) -> str:
    name = arguments.get("InstanceName", "INSTANCENAME")
    cim_class = scope.manager.schema.get_class(class_of(name))
    scope.manager.delete(scope.caller, cim_class.name, read_keys(name, cim_class))
    return ""


def _get_property(scope: Scope, arguments: Arguments) -> str:
    wanted = arguments.get_text("PropertyName")
    cim_class, instance = _find(scope, arguments)
    value = instance.properties.get(cim_class.get_property(wanted).name)
    return returned(render_value(value))


def _find(scope: Scope, arguments: Arguments) -> tuple[CimClass, CimInstance]:
    name = arguments.get("InstanceName", "INSTANCENAME")
    cim_class = scope.manager.schema.get_class(class_of(name))
    keys = read_keys(name, cim_class)
    return cim_class, scope.manager.get(scope.caller, cim_class.name, keys)


def _class_of(instance: Element) -> str:
    return instance.get("CLASSNAME") or ""


_DETAIL = "LocalOnly IncludeQualifiers IncludeClassOrigin PropertyList"
OPERATIONS = {
    "GetInstance": operation(f"InstanceName {_DETAIL}", _get),
    "EnumerateInstances": operation(f"ClassName DeepInheritance {_DETAIL}", _enumerate),
    "EnumerateInstanceNames": operation("ClassName", _enumerate_names),
    "CreateInstance": operation("NewInstance", _create),
    "ModifyInstance": operation("ModifiedInstance IncludeQualifiers PropertyList", _modify),
    "DeleteInstance": operation("InstanceName", _delete),
    "GetProperty": operation("InstanceName PropertyName", _get_property),
}
"""LocalOnly and DeepInheritance change nothing where every class is its own root, and instances
have no qualifiers."""
