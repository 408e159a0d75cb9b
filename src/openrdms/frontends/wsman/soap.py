"""SOAP envelopes of WS-Management: bytes to a request, a reply to bytes. No I/O.

Nothing here trusts the order, prefixes or indentation of what clients send.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

from openrdms.cim import types
from openrdms.cim.xmltext import escape
from openrdms.frontends import xml_input
from openrdms.frontends.wsman import faults, names
from openrdms.frontends.wsman.faults import Fault
from openrdms.frontends.xml_input import CharacterSetError, WrongXmlError

MAX_SELECTORS = 100
MAX_OPTIONS = 100
MIN_ENVELOPE = 8192
DEFAULT_ENVELOPE = 512_000
"""Octets of a reply when the client names no limit: what Windows uses now."""

Element = xml_input.Element


_HEADER, _BODY = f"{{{names.SOAP}}}Header", f"{{{names.SOAP}}}Body"
_ADDRESS = f"{{{names.ADDRESSING}}}Address"


def _known(namespace: str, *local: str) -> frozenset[str]:
    return frozenset(f"{{{namespace}}}{name}" for name in local)


_KNOWN_HEADERS = (
    _known(
        names.ADDRESSING,
        *("Action", "To", "MessageID", "ReplyTo", "FaultTo", "From", "RelatesTo"),
    )
    | _known(
        names.WSMAN,
        *("ResourceURI", "SelectorSet", "OptionSet", "MaxEnvelopeSize", "OperationTimeout"),
        *("Locale", "FragmentTransfer", "RequestTotalItemsCountEstimate"),
    )
    | _known(names.MS_WSMAN, "DataLocale", "SessionId", "OperationID", "SequenceId", "ActivityId")
)


_OPTIONS = frozenset(
    {"includequalifiers", "includeclassorigin"}
    | {"includeinheritedelements", "includeinheritancehierarchy"}
)
"""Options that we heed (of the class schema), so that a client may insist on them."""


class Echo(NamedTuple):
    """What of a request comes back in its reply, were it a fault."""

    message_id: str = ""
    operation_id: str = ""


class Request(NamedTuple):
    """A WS-Management request whose headers have been checked.

    ``selectors`` are as sent, in order, an endpoint reference as its element. ``options`` are
    texts by name in lower case. ``body`` is the body's first child. ``max_envelope`` limits the
    octets of the reply.
    """

    action: str
    resource_uri: str
    selectors: tuple[tuple[str, str | Element], ...]
    options: Mapping[str, str]
    max_envelope: int
    wants_estimate: bool
    body: Element | None
    echo: Echo


class Reply(NamedTuple):
    """A reply's action, the XML inside s:Body and extra headers; no action, no headers at all."""

    action: str
    body: str = ""
    headers: str = ""


class Message:
    """A parsed envelope, its headers by qualified name."""

    def __init__(self, data: bytes) -> None:
        """Raises Fault for anything that is not a SOAP 1.2 envelope within the limits."""
        body: Element | None = None
        self._headers: dict[str, list[Element]] = {}
        for part in _parse(data):
            if part.tag == _HEADER:
                for element in part:
                    self._headers.setdefault(str(element.tag), []).append(element)
            elif part.tag == _BODY and body is None:
                body = part
        self.body = _first_child(body)
        self.echo = Echo(
            self._peek(names.ADDRESSING, "MessageID"), self._peek(names.MS_WSMAN, "OperationID")
        )

    def read(self) -> Request:
        """Check the headers; raises the Fault that DSP0226 wants for the first that is wrong."""
        for tag, elements in self._headers.items():
            if tag not in _KNOWN_HEADERS:
                _check_optional(elements)
        self._check_reply_to()
        self._check_timeout()
        if self._find(names.WSMAN, "FragmentTransfer") is not None:
            raise Fault(faults.FRAGMENT_ACCESS, "fragment-level access is not supported")
        action = self._require(names.ADDRESSING, "Action").strip()
        self._require(names.ADDRESSING, "MessageID")
        return Request(
            action=action,
            resource_uri=self._require(names.WSMAN, "ResourceURI").strip(),
            selectors=self._selectors(),
            options=self._options(),
            max_envelope=self._max_envelope(),
            wants_estimate=self._find(names.WSMAN, "RequestTotalItemsCountEstimate") is not None,
            body=self.body,
            echo=self.echo,
        )

    def _find(self, namespace: str, name: str) -> Element | None:
        found = self._headers.get(f"{{{namespace}}}{name}")
        if found is None:
            return None
        if len(found) > 1:
            raise Fault(faults.INVALID_HEADER, f"the header {name} is given twice")
        return found[0]

    def _peek(self, namespace: str, name: str) -> str:
        found = self._headers.get(f"{{{namespace}}}{name}")
        return found[0].text or "" if found else ""

    def _require(self, namespace: str, name: str) -> str:
        element = self._find(namespace, name)
        if element is None or not (element.text or "").strip():
            raise Fault(faults.HEADER_REQUIRED, f"the header {name} is missing")
        return element.text or ""

    def _check_reply_to(self) -> None:
        for name in ("ReplyTo", "FaultTo"):
            element = self._find(names.ADDRESSING, name)
            if element is not None and _address(element) != names.ANONYMOUS:
                raise Fault(faults.ADDRESSING_MODE, f"{name} must be anonymous")

    def _options(self) -> Mapping[str, str]:
        element = self._find(names.WSMAN, "OptionSet")
        if element is None:
            return {}
        if len(element) > MAX_OPTIONS:
            raise Fault(faults.OPTION_LIMIT, f"more than {MAX_OPTIONS} options")
        found: dict[str, str] = {}
        for option in element:
            name = option.get("Name") or ""
            if is_true(option.get("MustComply")) and name.lower() not in _OPTIONS:
                raise Fault(faults.INVALID_OPTIONS, f"the option {name} is not supported")
            found[name.lower()] = option.text or ""
        return found

    def _check_timeout(self) -> None:
        """What is asked for is not shortened: calls end when their work has ended."""
        element = self._find(names.WSMAN, "OperationTimeout")
        if element is not None:
            try:
                types.parse_duration((element.text or "").strip())
            except ValueError as error:
                raise Fault(faults.INVALID_HEADER, "OperationTimeout is no xs:duration") from error

    def _selectors(self) -> tuple[tuple[str, str | Element], ...]:
        element = self._find(names.WSMAN, "SelectorSet")
        return () if element is None else read_selectors(element)

    def _max_envelope(self) -> int:
        element = self._find(names.WSMAN, "MaxEnvelopeSize")
        if element is None:
            return DEFAULT_ENVELOPE
        text = (element.text or "").strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 10):
            raise Fault(faults.INVALID_HEADER, "MaxEnvelopeSize is not a number of octets")
        if int(text) < MIN_ENVELOPE:
            raise Fault(faults.ENVELOPE_MINIMUM, f"MaxEnvelopeSize is below {MIN_ENVELOPE}")
        return int(text)


def read_selectors(selector_set: Element) -> tuple[tuple[str, str | Element], ...]:
    """Names and values of a w:SelectorSet."""
    if len(selector_set) > MAX_SELECTORS:
        raise Fault(faults.SELECTOR_LIMIT, f"more than {MAX_SELECTORS} selectors")
    return tuple((selector.get("Name", ""), _selector_value(selector)) for selector in selector_set)


def local_name(element: Element) -> str:
    """The name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def namespace_of(element: Element) -> str:
    """The namespace URI, empty for none."""
    tag = str(element.tag)
    return tag[1:].partition("}")[0] if tag.startswith("{") else ""


def render(reply: Reply, echo: Echo) -> bytes:
    """The whole envelope."""
    header = _render_headers(reply, echo) if reply.action else ""
    return (
        f"{_ENVELOPE}<s:Header>{header}</s:Header><s:Body>{reply.body}</s:Body></s:Envelope>"
    ).encode()


def _render_headers(reply: Reply, echo: Echo) -> str:
    operation = (
        f'<m:OperationID xmlns:m="{names.MS_WSMAN}">{escape(echo.operation_id)}</m:OperationID>'
        if echo.operation_id
        else ""
    )
    relates = f"<a:RelatesTo>{escape(echo.message_id)}</a:RelatesTo>" if echo.message_id else ""
    return (
        f"<a:To>{names.ANONYMOUS}</a:To>"
        f"<a:Action>{escape(reply.action)}</a:Action>"
        f"<a:MessageID>uuid:{_PROCESS}{next(_numbers):012X}</a:MessageID>"
        f"{relates}{operation}{reply.headers}"
    )


_PROCESS = str(uuid.uuid4()).upper()[:24]
_numbers = count(1)
"""What ids of messages are made of: UUIDs of this process, as random ones take longer."""

_ENVELOPE = (
    '<s:Envelope xml:lang="en-US" '
    + " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in names.PREFIXES.items())
    + ">"
)


def _parse(data: bytes) -> Element:
    try:
        root = xml_input.parse(data)
    except CharacterSetError as error:
        raise Fault(faults.CHARACTER_SET, str(error)) from error
    except WrongXmlError as error:
        raise Fault(faults.INVALID_XML, str(error)) from error
    if local_name(root) != "Envelope" or namespace_of(root) != names.SOAP:
        raise Fault(faults.VERSION_MISMATCH, "the body is not a SOAP 1.2 envelope")
    return root


def _first_child(element: Element | None) -> Element | None:
    return element[0] if element is not None and len(element) else None


def _selector_value(selector: Element) -> str | Element:
    reference = _first_child(selector)
    return (selector.text or "") if reference is None else reference


def _address(element: Element) -> str:
    found = (child.text or "" for child in element if child.tag == _ADDRESS)
    return next(found, "").strip()


def is_true(text: str | None) -> bool:
    return text is not None and text.strip().lower() in ("true", "1")


def _check_optional(unknown: list[Element]) -> None:
    for element in unknown:
        if is_true(element.get(f"{{{names.SOAP}}}mustUnderstand")):
            namespace, name = escape(namespace_of(element)), local_name(element)
            raise Fault(
                faults.MUST_UNDERSTAND,
                f"the header {name} is not understood",
                header=f'<s:NotUnderstood qname="u:{name}" xmlns:u="{namespace}"/>',
            )
