"""WS-Transfer: Get, Put, Create and Delete of one instance."""

from __future__ import annotations

from openrdms.cim.errors import CimError
from openrdms.cim.object_manager import Namespaces
from openrdms.cim.provider import Caller
from openrdms.cim.schema import CimClass
from openrdms.cim.types import CimValue
from openrdms.frontends.wsman import class_schema, faults, names, resource, values
from openrdms.frontends.wsman.faults import Fault
from openrdms.frontends.wsman.resource import Resource
from openrdms.frontends.wsman.soap import Element, Reply, Request, local_name, namespace_of


class Transfer:
    """Answers the four operations; raises Fault or CimError."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces

    def get(self, caller: Caller, request: Request) -> Reply:
        target = resource.read(request, self._namespaces)
        if target.is_schema:
            return Reply(f"{names.TRANSFER}/GetResponse", class_schema.get(target, request))
        cim_class = target.get_class()
        body = self._render(caller, target, cim_class, target.keys(cim_class))
        return Reply(f"{names.TRANSFER}/GetResponse", body)

    def put(self, caller: Caller, request: Request) -> Reply:
        target, cim_class, keys = self._target(request)
        changes = _read_representation(request.body, cim_class)
        try:
            target.manager.modify(caller, cim_class.name, keys, changes)
        except CimError as error:
            raise _absent(error) from error
        body = self._render(caller, target, cim_class, keys)
        return Reply(f"{names.TRANSFER}/PutResponse", body)

    def create(self, caller: Caller, request: Request) -> Reply:
        target, cim_class, _ = self._target(request)
        properties = _read_representation(request.body, cim_class)
        keys = target.manager.create(caller, cim_class.name, properties)
        reference = values.render_reference(
            cim_class, target.uri_of(cim_class), target.namespace, keys
        )
        return Reply(
            f"{names.TRANSFER}/CreateResponse",
            f"<x:ResourceCreated>{reference}</x:ResourceCreated>",
        )

    def delete(self, caller: Caller, request: Request) -> Reply:
        target, cim_class, keys = self._target(request)
        try:
            target.manager.delete(caller, cim_class.name, keys)
        except CimError as error:
            raise _absent(error) from error
        return Reply(f"{names.TRANSFER}/DeleteResponse")

    def _target(self, request: Request) -> tuple[Resource, CimClass, dict[str, CimValue]]:
        target = resource.read(request, self._namespaces)
        cim_class = target.get_class()
        return target, cim_class, target.keys(cim_class)

    def _render(
        self, caller: Caller, target: Resource, cim_class: CimClass, keys: dict[str, CimValue]
    ) -> str:
        try:
            instance = target.manager.get(caller, cim_class.name, keys)
        except CimError as error:
            raise _absent(error) from error
        uri = target.uri_of(cim_class)
        return values.instance_renderer(cim_class, uri, cim_class.properties)(instance)


def _absent(error: CimError) -> Fault:
    return faults.from_cim(error, absent=faults.RESOURCE_NOT_FOUND)


def _read_representation(body: Element | None, cim_class: CimClass) -> dict[str, CimValue]:
    if body is None:
        raise Fault(faults.INVALID_REPRESENTATION, "the body holds no instance")
    name = local_name(body)
    if name.lower() != cim_class.name.lower():
        raise Fault(faults.INVALID_REPRESENTATION, f"{name} is not {cim_class.name}")
    if not names_class(namespace_of(body), cim_class):
        raise Fault(faults.WRONG_NAMESPACE, f"{name} is not in the namespace of its class")
    return values.read_values(body, cim_class.get_property)


def names_class(uri: str, cim_class: CimClass) -> bool:
    """True when the XML namespace is a URI of the class in either family."""
    try:
        return resource.class_name_of(uri).lower() == cim_class.name.lower()
    except Fault:
        return False
