"""Method calls: the action is the resource URI, a slash and the method."""

from __future__ import annotations

from openrdms.cim.object_manager import Namespaces
from openrdms.cim.provider import Caller, MethodResult
from openrdms.cim.schema import CimClass, Method
from openrdms.cim.types import CimValue
from openrdms.cim.xmltext import escape
from openrdms.frontends.wsman import faults, resource, values
from openrdms.frontends.wsman.faults import Fault
from openrdms.frontends.wsman.soap import Element, Reply, Request, local_name


def invoke(namespaces: Namespaces, caller: Caller, request: Request) -> Reply:
    """Call the method that the action names; raises Fault or CimError."""
    target = resource.read(request, namespaces)
    cim_class = target.get_class()
    method = _method(request, cim_class)
    parameters = _read_input(request.body, method)
    keys = target.keys(cim_class)
    result = target.manager.invoke(caller, cim_class.name, method.name, keys, parameters)
    body = _render_output(method, target.uri_of(cim_class), result)
    return Reply(f"{request.action}Response", body, _render_reason(result))


def _method(request: Request, cim_class: CimClass) -> Method:
    base, _, name = request.action.rpartition("/")
    if base.lower() != request.resource_uri.lower():
        raise Fault(faults.ACTION_NOT_SUPPORTED, "the action does not belong to the resource")
    return cim_class.get_method(name)


def _read_input(body: Element | None, method: Method) -> dict[str, CimValue]:
    if body is not None and local_name(body).lower() != f"{method.name}_input".lower():
        raise Fault(faults.ACTION_MISMATCH, f"{local_name(body)} is not {method.name}_INPUT")
    given = values.read_values(body, method.get_input)
    # An array without an element is an empty one: there is no other way to write it.
    empty: dict[str, CimValue] = {item.name: [] for item in method.inputs if item.array}
    return empty | given


def _render_output(method: Method, uri: str, result: MethodResult) -> str:
    root = f"{method.name}_OUTPUT"
    return (
        f'<p:{root} xmlns:p="{escape(uri)}">'
        f"{values.render_values(result.outputs, method.outputs)}"
        f"<p:ReturnValue>{result.return_value}</p:ReturnValue></p:{root}>"
    )


def _render_reason(result: MethodResult) -> str:
    return faults.render_reason(result.reason, result.reason_code) if result.reason else ""
