"""WS-Enumeration: Enumerate, Pull and Release, in the shapes that Windows sends.

The two replies differ on purpose: Items and EndOfSequence are WS-Management's in an
EnumerateResponse and WS-Enumeration's in a PullResponse, and a finished EnumerateResponse has an
empty context while a finished PullResponse has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from openrdms.cim.enumeration import Contexts
from openrdms.cim.object_manager import Namespaces
from openrdms.cim.provider import Caller
from openrdms.cim.schema import CimClass, Property
from openrdms.cim.types import CimInstance
from openrdms.cim.wql import Query
from openrdms.frontends.wsman import class_schema, faults, filters, names, resource, values
from openrdms.frontends.wsman.faults import Fault
from openrdms.frontends.wsman.resource import Resource
from openrdms.frontends.wsman.soap import Element, Reply, Request

BATCH_OCTETS = 512_000
"""Octets of items in one reply, however much more the client would take."""
HEAD_OCTETS = 2_048
"""Room for the envelope around the items."""

_MODES = ("EnumerateEPR", "EnumerateObjectAndEPR")
_POLYMORPHISM = ("IncludeSubClassProperties", "ExcludeSubClassProperties", "None")


@dataclass(frozen=True)
class _Batch:
    items: str
    is_last: bool


@dataclass(frozen=True)
class _Room:
    """``hard`` octets must not be exceeded, ``soft`` ones only by a first item.

    ``head`` is what the envelope around the items takes at most.
    """

    count: int
    head: int
    hard: int
    soft: int


class _Cursor:
    """Rendered items that have not been sent; one is taken ahead to know the last batch."""

    def __init__(self, items: Iterator[str], class_name: str = "") -> None:
        """``class_name`` is that of the instances, empty when the items are none."""
        self._items = items
        self._ahead = next(items, None)
        self.class_name = class_name

    def take(self, room: _Room) -> _Batch:
        """What fits. Nothing is lost when not even one item does."""
        batch: list[str] = []
        used = 0
        while self._ahead is not None and len(batch) < room.count:
            size = len(self._ahead) if self._ahead.isascii() else len(self._ahead.encode())
            if used + size > (room.hard if not batch else room.soft):
                break
            batch.append(self._ahead)
            used += size
            self._ahead = next(self._items, None)
        if self._ahead is not None and not batch:
            raise envelope_exceeded(len(self._ahead.encode()) + room.head)
        return _Batch("".join(batch), self._ahead is None)


class Enumeration:
    """Answers the three operations; raises Fault or CimError."""

    def __init__(self, namespaces: Namespaces, contexts: Contexts[_Cursor]) -> None:
        self._namespaces = namespaces
        self._contexts = contexts

    def enumerate(self, caller: Caller, request: Request) -> Reply:
        target = resource.read(request, self._namespaces)
        body = _body(request, "Enumerate")
        room = _room(request, body)
        cursor = _cursor(caller, target, request, body)
        action = f"{names.ENUMERATION}/EnumerateResponse"
        headers = _estimate(request)
        if _find(body, names.WSMAN, "OptimizeEnumeration") is None:
            context = self._open(caller, target, cursor)
            return Reply(action, f"<n:EnumerateResponse>{context}</n:EnumerateResponse>", headers)
        batch = cursor.take(room)
        context = "<n:EnumerationContext/>"
        end = "<w:EndOfSequence/>"
        if not batch.is_last:
            context, end = self._open(caller, target, cursor), ""
        content = f"{context}<w:Items>{batch.items}</w:Items>{end}"
        return Reply(action, f"<n:EnumerateResponse>{content}</n:EnumerateResponse>", headers)

    def pull(self, caller: Caller, request: Request) -> Reply:
        target = resource.read(request, self._namespaces)
        body = _body(request, "Pull")
        room, identifier = _room(request, body), _context(body)
        cursor = self._contexts.take(caller, target.namespace, identifier)
        if cursor.class_name:  # rights may have gone since it was opened
            target.manager.check_enumerate(caller, cursor.class_name)
        try:
            batch = cursor.take(room)
        except Fault:  # the client may ask again, with more room
            self._contexts.restore(caller, target.namespace, identifier, cursor)
            raise
        content = f"<n:Items>{batch.items}</n:Items>"
        if batch.is_last:
            content += "<n:EndOfSequence/>"
        else:
            content = self._open(caller, target, cursor) + content
        return Reply(
            f"{names.ENUMERATION}/PullResponse",
            f"<n:PullResponse>{content}</n:PullResponse>",
            _estimate(request),
        )

    def release(self, caller: Caller, request: Request) -> Reply:
        target = resource.read(request, self._namespaces)
        self._contexts.take(caller, target.namespace, _context(_body(request, "Release")))
        return Reply(f"{names.ENUMERATION}/ReleaseResponse")

    def _open(self, caller: Caller, target: Resource, cursor: _Cursor) -> str:
        identifier = self._contexts.open(caller, target.namespace, cursor)
        return f"<n:EnumerationContext>uuid:{identifier}</n:EnumerationContext>"


def envelope_exceeded(needed: int) -> Fault:
    """The fault for a reply over the client's limit; its text says which size would do."""
    return Fault(faults.ENVELOPE_EXCEEDED, f"the reply needs a MaxEnvelopeSize of {needed} octets")


def _cursor(caller: Caller, target: Resource, request: Request, body: Element) -> _Cursor:
    asked = filters.find(body)
    if target.is_schema:
        if asked is not None:
            raise Fault(faults.UNSUPPORTED_FEATURE, "the class schema takes no filter")
        return _Cursor(class_schema.enumerate_classes(target, request))
    _check_polymorphism(body)
    if target.selectors:
        raise Fault(faults.UNSUPPORTED_FEATURE, "Enumerate takes no key selectors")
    if asked is not None and asked.dialect == names.DIALECT_ASSOCIATION:
        filters.check_association(target, asked)
        return _Cursor(iter(()))  # the schema has no associations
    query = filters.read(target, asked)
    cim_class = target.manager.schema.get_class(query.class_name)
    render = _renderer(target, cim_class, query, _text(body, "EnumerationMode"))
    instances = target.manager.enumerate(caller, cim_class.name, query.equalities)
    items = (render(instance) for instance in instances if query.matches(instance))
    return _Cursor(items, cim_class.name)


def _room(request: Request, body: Element) -> _Room:
    echo = request.echo.message_id + request.echo.operation_id
    head = HEAD_OCTETS + 6 * len(echo)  # &quot; is the longest that a character can become
    hard = request.max_envelope - head
    soft = min(BATCH_OCTETS, _number(body, "MaxCharacters", BATCH_OCTETS))
    return _Room(_number(body, "MaxElements", 1), head, hard, min(hard, soft))


def _renderer(
    target: Resource, cim_class: CimClass, query: Query, mode: str
) -> Callable[[CimInstance], str]:
    uri = target.uri_of(cim_class)

    def reference(instance: CimInstance) -> str:
        content = values.render_reference(cim_class, uri, target.namespace, instance.properties)
        return f"<a:EndpointReference>{content}</a:EndpointReference>"

    content = _content_renderer(target, cim_class, query)
    if mode in ("", "EnumerateObject"):
        return content
    if mode not in _MODES:
        raise Fault(faults.ENUMERATION_MODE, f"there is no EnumerationMode {mode}")
    if mode == "EnumerateEPR":
        return reference
    return lambda instance: f"<w:Item>{content(instance)}{reference(instance)}</w:Item>"


def _content_renderer(
    target: Resource, cim_class: CimClass, query: Query
) -> Callable[[CimInstance], str]:
    uri = target.uri_of(cim_class)
    if query.properties is None:
        return values.instance_renderer(cim_class, uri, cim_class.properties)
    chosen: list[Property] = [cim_class.get_property(name) for name in query.properties]
    if not target.is_microsoft:
        return values.instance_renderer(cim_class, uri, chosen)
    # Windows wraps a projection, with its elements in no namespace.
    return lambda instance: (
        f"<w:XmlFragment>{values.render_values(instance.properties, chosen, '')}</w:XmlFragment>"
    )


def _body(request: Request, name: str) -> Element:
    body = request.body
    if body is None or body.tag != f"{{{names.ENUMERATION}}}{name}":
        raise Fault(faults.ACTION_MISMATCH, f"the body is not {name}")
    return body


def _estimate(request: Request) -> str:
    """Nobody counts what is made while it is read."""
    return '<w:TotalItemsCountEstimate xsi:nil="true"/>' if request.wants_estimate else ""


def _find(body: Element, namespace: str, name: str) -> Element | None:
    return body.find(f"{{{namespace}}}{name}")


def _text(body: Element, name: str, namespace: str = names.WSMAN) -> str:
    return (body.findtext(f"{{{namespace}}}{name}") or "").strip()


def _context(body: Element) -> str:
    return _text(body, "EnumerationContext", names.ENUMERATION).removeprefix("uuid:")


def _number(body: Element, name: str, default: int) -> int:
    """MaxElements and MaxCharacters are WS-Management's in Enumerate, WS-Enumeration's in Pull."""
    text = _text(body, name) or _text(body, name, names.ENUMERATION)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text[:10]) > 0):
        raise Fault(faults.SCHEMA_VALIDATION, f"{name} is not a positive number")
    return int(text[:10])


def _check_polymorphism(body: Element) -> None:
    mode = _text(body, "PolymorphismMode", names.CIM_BINDING)
    if mode and mode not in _POLYMORPHISM:
        raise Fault(faults.POLYMORPHISM, f"there is no PolymorphismMode {mode}")
