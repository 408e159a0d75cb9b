"""A typed RDMS client over WS-Management: pypsrp's transport, the RDMS schema's types."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from pypsrp import exceptions as winrm
from pypsrp.wsman import NAMESPACES, SelectorSet, WSMan

from openrdms.cim.schema import CimClass, Element
from openrdms.cim.types import CimScalar, CimValue, render_scalar
from openrdms.cli.commands import LoginRefused, Unreachable
from openrdms.model.errors import RdmsError, WbemCode
from openrdms.providers import schema

CLASSES = "http://schemas.microsoft.com/wbem/wsman/1/wmi/"
"""What the URI of a class begins with; its namespace and its name follow."""

OURS = "openrdms_"
"""What the names of our own classes begin with, in any case."""

WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
REASON = "{urn:openrdms:reason}Reason"
"""SOAP header in which OpenRDMS explains a ReturnValue that is not 0, or a fault; its Code is a
ReasonCode.
"""

RDVH_MANAGEMENT = "Win32_RDVHManagement"
_NIL = f"{{{NAMESPACES['xsi']}}}nil"
_ENUMERATION = f"{{{NAMESPACES['wsen']}}}"
_WSMAN = f"{{{NAMESPACES['wsman']}}}"
_SMALLEST_ENVELOPE = 8192
_LARGEST_ENVELOPE = 2**31 - 1
_MAX_ELEMENTS = "1000"
_OF_SESSIONS = ("VMHostName", "SessionId", "VMName", "UserName", "Result", "Reason")
"""What OpenRDMS_Pool.SendMessage tells of each session: arrays of that name in the plural."""
_NOT_FOUND = "CIMStatusCode>6<"
"""CIM_ERR_NOT_FOUND in the detail of a fault."""

_WIN32_NAMES = {
    5: "ERROR_ACCESS_DENIED",
    21: "ERROR_NOT_READY",
    1168: "ERROR_NOT_FOUND",
    1722: "RPC_S_SERVER_UNAVAILABLE",
}

Values = Mapping[str, CimValue]


class Refused(RdmsError):
    """A method returned something else than 0; ``return_value`` is what.

    ``reason`` says why in words, ``reason_code`` as a ReasonCode; both may be "".
    """

    def __init__(self, method: str, return_value: int, reason: str, reason_code: str = "") -> None:
        words = f": {reason}" if reason else ""
        code = f" ({reason_code})" if reason_code else ""
        super().__init__(f"{method} returned {name_code(return_value)}{words}{code}")
        self.return_value = return_value


class Fault(RdmsError):
    """The server answered with a SOAP fault, or not in SOAP at all."""


class Absent(Fault):
    """What was asked for does not exist: an instance, or a property key never set."""


class NotNow(Fault, Unreachable):
    """The server's database, or a host, does not answer: the same may be asked again."""


@dataclass(frozen=True)
class Login:
    """Where an RDMS is and who asks. ``ca`` is a PEM file whose certificates are trusted.

    Without it the system's are; ``insecure`` trusts any certificate.
    """

    url: str
    user: str
    password: str = field(repr=False)
    ca: Path | None = None
    insecure: bool = False


def name_code(return_value: int) -> str:
    """A ReturnValue with its name: WBEM status or Win32 error."""
    try:
        return f"0x{return_value:08x} (WBEM_E_{WbemCode(return_value).name})"
    except ValueError:
        return f"{return_value} ({_WIN32_NAMES.get(return_value, 'unknown code')})"


def quote(text: str) -> str:
    """A WQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class RdmsClient:
    """Class and property names are the schema's in any case; values have the schema's types.

    Every call raises Fault, LoginRefused or Unreachable.
    """

    def __init__(self, login: Login, max_envelope_size: int = 512_000) -> None:
        address = urlsplit(login.url)
        secure = address.scheme == "https"
        trust: Any = str(login.ca) if login.ca else not login.insecure  # requests takes both
        self._wsman = WSMan(
            address.hostname or "",
            max_envelope_size=max_envelope_size,
            port=address.port,
            path=address.path.strip("/") or "wsman",
            ssl=secure,
            username=login.user,
            password=login.password,
            auth="basic",
            encryption="auto" if secure else "never",
            cert_validation=trust,
            no_proxy=True,
        )

    def __enter__(self) -> RdmsClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._wsman.close()

    def enumerate(self, class_name: str, where: str = "") -> Iterator[dict[str, CimValue]]:
        """Instances; ``where`` is the condition of a WQL query."""
        cim_class, uri = _locate(class_name)
        request = _enumerate_request(cim_class.name, where)
        uri = uri.removesuffix(cim_class.name) + "*" if where else uri
        with _translated():
            reply = self._wsman.enumerate(uri, request)[0]
        while True:
            for item in _items(reply):
                yield _read(item, cim_class.get_property)
            context = reply.findtext(f"{_ENUMERATION}EnumerationContext")
            if not context:
                return
            with _translated():
                reply = self._wsman.pull(uri, _pull_request(context))[0]

    def get(self, class_name: str, keys: Values) -> dict[str, CimValue]:
        """One instance."""
        cim_class, uri = _locate(class_name)
        with _translated():
            body = self._wsman.get(uri, selector_set=_selectors(keys))
        return _read(body[0], cim_class.get_property)

    def put(self, class_name: str, keys: Values, changes: Values) -> dict[str, CimValue]:
        """Change the properties named in ``changes``; returns the instance."""
        cim_class, uri = _locate(class_name)
        request = _write(uri, cim_class.name, changes)
        with _translated():
            body = self._wsman.put(uri, request, selector_set=_selectors(keys))
        return _read(body[0], cim_class.get_property) if len(body) else {}

    def create(self, class_name: str, properties: Values) -> dict[str, CimValue]:
        """Make an instance; returns its keys."""
        cim_class, uri = _locate(class_name)
        request = _write(uri, cim_class.name, properties)
        with _translated():
            body = self._wsman.create(uri, request)
        return _read_keys(body, cim_class)

    def delete(self, class_name: str, keys: Values) -> None:
        """Remove an instance."""
        with _translated():
            self._wsman.delete(_locate(class_name)[1], selector_set=_selectors(keys))

    def invoke(
        self, class_name: str, method_name: str, keys: Values | None = None, /, **inputs: CimValue
    ) -> dict[str, CimValue]:
        """Call a method, static without ``keys``; returns its out-parameters. Refused."""
        cim_class, uri = _locate(class_name)
        method = cim_class.get_method(method_name)
        outputs = {parameter.name.lower(): parameter for parameter in method.outputs}
        with _translated():
            envelope = self._wsman.invoke(
                f"{uri}/{method.name}",
                uri,
                _write(uri, f"{method.name}_INPUT", inputs),
                selector_set=_selectors(keys) if keys else None,
            )
        reply = envelope.findall("s:Body/*", NAMESPACES)[0]
        _check_return_value(method.name, envelope, reply)
        reply[:] = [part for part in reply if _local_name(part) != "ReturnValue"]
        return _read(reply, lambda name: outputs[name.lower()])

    def ask(
        self, class_name: str, method_name: str, keys: Values | None = None, /, **inputs: CimValue
    ) -> dict[str, CimValue]:
        """As ``invoke``, for a method that changes nothing and may have long answers: it is asked
        again with an envelope that would do. Answers may grow meanwhile, hence twice that.
        """
        while True:
            try:
                return self.invoke(class_name, method_name, keys, **inputs)
            except _EnvelopeTooSmall as error:
                self._wsman.max_envelope_size = 2 * error.needed

    def get_report(self, job: str) -> str:
        """A job's report XML, however long."""
        collections = "Win32_RDMSVirtualDesktopCollection"
        outputs = self.ask(collections, "ProvisioningJobGetReport", JobGuid=job)
        return str(outputs["JobReportXml"])

    def message_all(self, collection: str, title: str, text: str) -> list[dict[str, CimValue]]:
        """Show a message in every session of a collection; a row for each, with its ``Result``.

        The reply may be long, and cannot be asked for again: the messages would be shown twice.
        """
        self._wsman.max_envelope_size = _LARGEST_ENVELOPE
        outputs = self.invoke(
            *("OpenRDMS_Pool", "SendMessage", {"CollectionAlias": collection}),
            Title=title,
            Message=text,
        )
        columns = {name: outputs.get(f"{name}s") for name in _OF_SESSIONS}
        lists = [column if isinstance(column, list) else [] for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


class _EnvelopeTooSmall(Fault):
    """The reply would not fit; ``needed`` octets would do."""

    def __init__(self, message: str, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


def _locate(class_name: str) -> tuple[CimClass, str]:
    """A class and its URI."""
    if class_name.casefold().startswith(OURS):
        declared = schema.load_openrdms()
    elif class_name == RDVH_MANAGEMENT:
        declared = schema.load_terminal_services()
    else:
        declared = schema.load_rdms()
    cim_class = declared.get_class(class_name)
    return cim_class, f"{CLASSES}{declared.namespace}/{cim_class.name}"


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of pypsrp and requests as ours."""
    try:
        yield
    except winrm.AuthenticationError as error:
        raise LoginRefused(str(error)) from error
    except winrm.WSManFaultError as error:
        raise _read_fault(error) from error
    except winrm.WinRMTransportError as error:
        kind = NotNow if error.code == HTTPStatus.SERVICE_UNAVAILABLE else Fault
        raise kind(f"not a WS-Management reply: HTTP status {error.code}") from error
    except (winrm.WinRMError, ET.ParseError) as error:
        raise Fault(f"not a WS-Management reply: {error}") from error
    except requests.RequestException as error:
        raise Unreachable(f"no answer: {error}") from error


def _read_fault(error: winrm.WSManFaultError) -> Fault:
    # pypsrp keeps code and text alone; the whole fault is in the error it was handling.
    whole = getattr(error.__context__, "response_text", "")
    sizes = [int(number) for number in re.findall(r"\d{4,9}", error.reason or "")]
    if "MaxEnvelopeSizeExceeded" in whole and sizes:
        return _EnvelopeTooSmall(error.reason, max(sizes))
    kind = Absent if _NOT_FOUND in whole else Fault
    if str(error.code) == str(int(WbemCode.NOT_AVAILABLE)):
        kind = NotNow
    told = re.search(r'<o:Reason xmlns:o="urn:openrdms:reason" Code="(\w+)"', whole)
    words = _describe_fault(str(error.code), error.reason or "fault without a text")
    return kind(f"{words} ({told[1]})" if told else words)


def _describe_fault(code: str, reason: str) -> str:
    """The reason, and the code (a number, or a name of SOAP) unless the reason has it."""
    shown = f"0x{int(code):08x}" if code.isdecimal() else code
    return reason if shown in reason.casefold() else f"{reason} ({shown})"


def _check_return_value(method: str, envelope: ET.Element, reply: ET.Element) -> None:
    value = next((part.text for part in reply if _local_name(part) == "ReturnValue"), None)
    if value is None:
        raise Fault(f"{method}: the reply has no ReturnValue")
    if int(value) != 0:
        reason = envelope.find(f"s:Header/{REASON}", NAMESPACES)
        told = ("", "") if reason is None else (reason.text or "", reason.get("Code", ""))
        raise Refused(method, int(value), *told)


def _enumerate_request(class_name: str, where: str) -> ET.Element:
    request = ET.Element(f"{_ENUMERATION}Enumerate")
    ET.SubElement(request, f"{_WSMAN}OptimizeEnumeration")
    ET.SubElement(request, f"{_WSMAN}MaxElements").text = _MAX_ELEMENTS
    if where:
        query = ET.SubElement(request, f"{_WSMAN}Filter", Dialect=WQL)
        query.text = f"select * from {class_name} where {where}"  # noqa: S608 - WQL, and read only
    return request


def _pull_request(context: str) -> ET.Element:
    request = ET.Element(f"{_ENUMERATION}Pull")
    ET.SubElement(request, f"{_ENUMERATION}EnumerationContext").text = context
    ET.SubElement(request, f"{_ENUMERATION}MaxElements").text = _MAX_ELEMENTS
    return request


def _items(reply: ET.Element) -> list[ET.Element]:
    """The objects of an EnumerateResponse (wsman:Items) or PullResponse (wsen:Items)."""
    return [item for part in reply if _local_name(part) == "Items" for item in part]


def _selectors(keys: Values) -> SelectorSet:
    selectors = SelectorSet()
    for name, value in keys.items():
        selectors.add_option(name, _render(value))
    return selectors


def _write(namespace: str, root: str, values: Values) -> ET.Element:
    """Values as elements in the XML namespace of the class: arrays repeat, NULL is nil."""
    element = ET.Element(f"{{{namespace}}}{root}")
    for name, value in values.items():
        for item in value if isinstance(value, list) else [value]:
            child = ET.SubElement(element, f"{{{namespace}}}{name}")
            if item is None:
                child.set(_NIL, "true")
            else:
                child.text = render_scalar(item)
    return element


def _render(value: CimValue) -> str:
    if value is None or isinstance(value, list):
        raise TypeError("a key is one value")
    return render_scalar(value)


def _read(parent: ET.Element, declared: Callable[[str], Element]) -> dict[str, CimValue]:
    """Child elements as values of their declared types."""
    values: dict[str, Any] = {}
    for child in parent:
        element = declared(_local_name(child))
        value = _read_scalar(child, element)
        if not element.array:
            values[element.name] = value
        elif value is None:
            values.setdefault(element.name, None)
        else:
            values[element.name] = [*(values.get(element.name) or []), value]
    return values


def _read_scalar(child: ET.Element, element: Element) -> CimScalar | None:
    if child.get(_NIL) in {"true", "1"}:
        return None
    # A datetime is one level down, in cim:Datetime or cim:Interval.
    return element.parse("".join(child.itertext()))


def _read_keys(body: ET.Element, cim_class: CimClass) -> dict[str, CimValue]:
    """Keys from the endpoint reference of a CreateResponse."""
    selectors = body.iter(f"{_WSMAN}Selector")
    pairs = ((item.get("Name", ""), item.text or "") for item in selectors)
    return cim_class.parse_keys((name, text) for name, text in pairs if name[:2] != "__")


def _local_name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
