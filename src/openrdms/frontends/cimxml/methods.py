"""Extrinsic methods: METHODCALL."""

from __future__ import annotations

from openrdms.cim.cimxml import render_value
from openrdms.cim.object_manager import ObjectManager
from openrdms.cim.provider import Caller, MethodResult
from openrdms.cim.schema import Method
from openrdms.frontends.cimxml.message import Call, class_of
from openrdms.frontends.cimxml.values import read_keys, read_named
from openrdms.frontends.xml_input import Element


def invoke(
    manager: ObjectManager, caller: Caller, call: Call, target: Element
) -> tuple[str, MethodResult]:
    """What the METHODRESPONSE holds, and what that is made of; raises CimError."""
    cim_class = manager.schema.get_class(class_of(target))
    method = cim_class.get_method(call.name)
    parameters = read_named(call.parameters, method.get_input, "PARAMTYPE")
    keys = read_keys(target, cim_class) if target.tag == "INSTANCENAME" else {}
    result = manager.invoke(caller, cim_class.name, method.name, keys, parameters)
    return _render(method, result), result


def _render(method: Method, result: MethodResult) -> str:
    outputs = "".join(
        f'<PARAMVALUE NAME="{item.name}" PARAMTYPE="{item.type}">'
        f"{render_value(result.outputs.get(item.name))}</PARAMVALUE>"
        for item in method.outputs
    )
    return (
        f'<RETURNVALUE PARAMTYPE="{method.returns}"><VALUE>{result.return_value}</VALUE>'
        f"</RETURNVALUE>{outputs}"
    )
