"""CIM-XML messages (DSP0200 section 6): an HTTP request to one call, its answer to bytes.

Wrong headers and envelopes are refused here, by an HTTP status and a CIMError header. What is
wrong with the parameters of a call is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from openrdms.cim.xmltext import escape
from openrdms.frontends import xml_input
from openrdms.frontends.exchange import HttpRequest
from openrdms.frontends.xml_input import Element, WrongXmlError

_BAD_REQUEST = 400
_NOT_IMPLEMENTED = 501
_PATHS = {"LOCALCLASSPATH": "CLASSNAME", "LOCALINSTANCEPATH": "INSTANCENAME"}


class Refusal(Exception):
    """No CIM message comes back. ``token`` is for the header CIMError (DSP0200 7.3)."""

    def __init__(self, status: int, token: str, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.token = token


@dataclass(frozen=True)
class Call:
    """One call. ``target`` is the CLASSNAME or INSTANCENAME that a METHODCALL is about.

    It is None for an IMETHODCALL, whose name is an operation of DSP0200.
    """

    message_id: str
    name: str
    namespace: str
    target: Element | None
    parameters: Sequence[Element]


def read(request: HttpRequest) -> Call:
    """The call in a request whose headers say the same; raises Refusal."""
    operation = request.headers.get("cimoperation", "").strip()
    if operation.lower() != "methodcall":
        raise Refusal(_BAD_REQUEST, "unsupported-operation", "CIMOperation is not MethodCall")
    _check_version(request.headers.get("cimprotocolversion", "1.0"), "1", "protocol")
    call = _read_call(_read_message(request.body))
    _check_headers(request.headers, call)
    return call


def render_response(call: Call, content: str) -> bytes:
    """The answer to a call around what its METHODRESPONSE or IMETHODRESPONSE holds."""
    tag = "IMETHODRESPONSE" if call.target is None else "METHODRESPONSE"
    return (
        '<?xml version="1.0" encoding="utf-8"?><CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        f'<MESSAGE ID="{escape(call.message_id)}" PROTOCOLVERSION="1.0"><SIMPLERSP>'
        f'<{tag} NAME="{escape(call.name)}">{content}</{tag}></SIMPLERSP></MESSAGE></CIM>'
    ).encode()


def class_of(name: Element) -> str:
    """The class that a CLASSNAME or INSTANCENAME names."""
    return (name.get("NAME" if name.tag == "CLASSNAME" else "CLASSNAME") or "").strip()


def _read_message(body: bytes) -> Element:
    try:
        root = xml_input.parse(body)
    except WrongXmlError as error:
        raise Refusal(_BAD_REQUEST, "request-not-well-formed", str(error)) from error
    if root.tag != "CIM":
        raise _not_valid("the body is not the element CIM")
    _check_version(_attribute(root, "CIMVERSION"), "2", "cim")
    _check_version(_attribute(root, "DTDVERSION"), "2", "dtd")
    message = _only_child(root, "MESSAGE")
    _check_version(_attribute(message, "PROTOCOLVERSION"), "1", "protocol")
    return message


def _read_call(message: Element) -> Call:
    if len(message) == 1 and message[0].tag == "MULTIREQ":
        words = "one request at a time"
        raise Refusal(_NOT_IMPLEMENTED, "multiple-requests-unsupported", words)
    parts = [item for item in _only_child(message, "SIMPLEREQ") if item.tag != "CORRELATOR"]
    if len(parts) != 1 or parts[0].tag not in ("IMETHODCALL", "METHODCALL"):
        raise _not_valid("SIMPLEREQ does not hold one call")
    call = parts[0]
    if not len(call):
        raise _not_valid(f"{call.tag} names no target")
    if call.tag == "IMETHODCALL":
        namespace, target = _read_namespace(call[0]), None
    else:
        namespace, target = _read_target(call[0])
    return Call(
        _attribute(message, "ID"),
        _attribute(call, "NAME"),
        namespace,
        target,
        _read_parameters(call, "IPARAMVALUE" if target is None else "PARAMVALUE"),
    )


def _read_parameters(call: Element, tag: str) -> Sequence[Element]:
    parameters = list(call)[1:]
    for item in parameters:
        if item.tag != tag:
            raise _not_valid(f"{call.tag} holds {item.tag}")
        _attribute(item, "NAME")
    return parameters


def _read_target(path: Element) -> tuple[str, Element]:
    wanted = _PATHS.get(str(path.tag))
    if wanted is None or len(path) != 2 or path[1].tag != wanted:
        raise _not_valid(f"{path.tag} is not the local path of a class or an instance")
    return _read_namespace(path[0]), path[1]


def _read_namespace(path: Element) -> str:
    if path.tag != "LOCALNAMESPACEPATH" or any(part.tag != "NAMESPACE" for part in path):
        raise _not_valid(f"{path.tag} where LOCALNAMESPACEPATH was expected")
    return "/".join(_attribute(part, "NAME") for part in path)


def _check_headers(headers: Mapping[str, str], call: Call) -> None:
    """The headers, which firewalls read, must say what the body says; keys are left to the body."""
    if unquote(headers.get("cimmethod", "")).strip().lower() != call.name.lower():
        raise Refusal(_BAD_REQUEST, "header-mismatch", "CIMMethod and the body differ")
    namespace, _, path = unquote(headers.get("cimobject", "")).strip().partition(":")
    class_name = "" if call.target is None else class_of(call.target)
    stated = (namespace.strip("/").lower(), path.partition(".")[0].lower())
    if stated != (call.namespace.strip("/").lower(), class_name.lower()):
        raise Refusal(_BAD_REQUEST, "header-mismatch", "CIMObject and the body differ")


def _check_version(text: str, major: str, what: str) -> None:
    if text.strip().partition(".")[0] != major:
        words = f"the {what} version {major} is spoken here"
        raise Refusal(_NOT_IMPLEMENTED, f"unsupported-{what}-version", words)


def _only_child(parent: Element, tag: str) -> Element:
    if len(parent) != 1 or parent[0].tag != tag:
        raise _not_valid(f"{parent.tag} does not hold one {tag}")
    return parent[0]


def _attribute(element: Element, name: str) -> str:
    text = element.get(name)
    if text is None:
        raise _not_valid(f"{element.tag} has no attribute {name}")
    return text


def _not_valid(words: str) -> Refusal:
    return Refusal(_BAD_REQUEST, "request-not-valid", words)
