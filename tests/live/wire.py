"""WS-Management as a stock client writes it, sent by pypsrp; none of the product's code is used."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import SelectorSet, WSMan

WINDOWS = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/rdms/"
DMTF = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
CIM_NAMESPACE = "root/cimv2/rdms"

SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
ADDRESSING = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
ENUMERATION = "{http://schemas.xmlsoap.org/ws/2004/09/enumeration}"
MANAGEMENT = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
RELEASE = "http://schemas.xmlsoap.org/ws/2004/09/enumeration/Release"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

Text = str | None | list[str]
Values = Mapping[str, Text]


@dataclass
class Answer:
    """What a method gave back. ``reason`` is the words of a refusal."""

    return_value: int
    outputs: dict[str, Text] = field(default_factory=dict)
    reason: str = ""


@dataclass
class Page:
    """One EnumerateResponse or PullResponse; the context is "" when there is none."""

    items: list[ET.Element]
    context: str
    ended: bool


@dataclass
class Fault:
    """A SOAP fault, filled when the block that expects it has ended.

    ``subcode`` and ``detail`` are without their namespaces, ``code`` is Windows' number.
    """

    subcode: str = ""
    detail: str = ""
    code: int = 0
    text: str = ""


@contextmanager
def fault() -> Iterator[Fault]:
    """Expect a fault in the block."""
    found = Fault()
    try:
        yield found
    except WSManFaultError as error:
        whole = ET.fromstring(getattr(error.__context__, "response_text", ""))
        found.subcode = whole.findtext(f".//{SOAP}Subcode/{SOAP}Value", "").rpartition(":")[2]
        found.detail = whole.findtext(f".//{MANAGEMENT}FaultDetail", "").rpartition("/")[2]
        found.code = int(error.code or 0)
        found.text = error.reason or ""
    else:
        raise AssertionError("a fault was expected")


class Wire:
    """One client and one of the two families of resource URIs."""

    def __init__(self, client: WSMan, family: str = WINDOWS) -> None:
        self.client = client
        self._family = family

    def get(self, name: str, **keys: str) -> dict[str, Text]:
        """Properties of one instance."""
        [instance] = self.client.get(self._uri(name), selector_set=self._selectors(keys))
        return read(instance)

    def put(self, name: str, changes: Values, **keys: str) -> dict[str, Text]:
        """Change properties of one instance; returns it."""
        body = self.client.put(
            self._uri(name), self._element(name, name, changes), selector_set=self._selectors(keys)
        )
        return read(body[0])

    def create(self, name: str, properties: Values) -> dict[str, str]:
        """Make an instance; returns the selectors of the reference to it."""
        body = self.client.create(
            self._uri(name),
            self._element(name, name, properties),
            selector_set=self._selectors({}),
        )
        return read_selectors(body)

    def delete(self, name: str, **keys: str) -> None:
        """Remove an instance."""
        self.client.delete(self._uri(name), selector_set=self._selectors(keys))

    def invoke(
        self, name: str, method: str, keys: Mapping[str, str] | None = None, /, **inputs: Text
    ) -> Answer:
        """Call a method, a static one without keys."""
        envelope = self.client.invoke(
            f"{self._uri(name)}/{method}",
            self._uri(name),
            self._element(name, f"{method}_INPUT", inputs),
            selector_set=self._selectors(keys or {}),
        )
        [output] = envelope.findall(f"{SOAP}Body/*")
        assert output.tag == f"{{{self._uri(name)}}}{method}_OUTPUT"
        outputs = read(output)
        value = outputs.pop("ReturnValue")
        reason = envelope.findtext(f"{SOAP}Header/{{urn:openrdms:reason}}Reason", "")
        return Answer(int(str(value)), outputs, reason)

    def enumerate(self, name: str, where: str = "") -> list[dict[str, Text]]:
        """All instances, or those of a WQL condition."""
        query = f"SELECT * FROM {name} WHERE {where}" if where else ""
        return [read(item) for page in self.pages(name, query) for item in page.items]

    def pages(
        self, name: str, query: str = "", *, mode: str = "", size: int = 1000, first: bool = True
    ) -> Iterator[Page]:
        """Every page of an enumeration (see ``open``)."""
        page = self.open(name, query, mode=mode, size=size, first=first)
        yield page
        while page.context:
            page = self.pull("*" if query else name, page.context, size)
            yield page

    def open(
        self, name: str, query: str = "", *, mode: str = "", size: int = 1000, first: bool = True
    ) -> Page:
        """The answer to an Enumerate, which has items when it is to be the ``first`` page.

        ``mode`` is a wsman:EnumerationMode.
        """
        request = ET.Element(f"{ENUMERATION}Enumerate")
        if first:
            ET.SubElement(request, f"{MANAGEMENT}OptimizeEnumeration")
            ET.SubElement(request, f"{MANAGEMENT}MaxElements").text = str(size)
        if mode:
            ET.SubElement(request, f"{MANAGEMENT}EnumerationMode").text = mode
        if query:
            ET.SubElement(request, f"{MANAGEMENT}Filter", Dialect=WQL).text = query
        uri = self._uri("*" if query else name)
        return _page(self.client.enumerate(uri, request, selector_set=self._selectors({})))

    def pull(self, name: str, context: str, size: int = 1000) -> Page:
        """The next page."""
        request = ET.Element(f"{ENUMERATION}Pull")
        ET.SubElement(request, f"{ENUMERATION}EnumerationContext").text = context
        ET.SubElement(request, f"{ENUMERATION}MaxElements").text = str(size)
        body = self.client.pull(self._uri(name), request, selector_set=self._selectors({}))
        return _page(body)

    def release(self, name: str, context: str) -> None:
        """Give an enumeration up."""
        request = ET.Element(f"{ENUMERATION}Release")
        ET.SubElement(request, f"{ENUMERATION}EnumerationContext").text = context
        self.client.invoke(RELEASE, self._uri(name), request, selector_set=self._selectors({}))

    def _uri(self, name: str) -> str:
        if name == "*" and self._family == DMTF:
            return "http://schemas.dmtf.org/wbem/wscim/1/*"
        return self._family + name

    def _selectors(self, keys: Mapping[str, str]) -> SelectorSet | None:
        """The namespace is in Windows' URIs, and a selector with DMTF's."""
        space = {"__cimnamespace": CIM_NAMESPACE} if self._family == DMTF else {}
        if not keys and not space:
            return None
        selectors = SelectorSet()
        for key, value in {**space, **keys}.items():
            selectors.add_option(key, value)
        return selectors

    def _element(self, name: str, root: str, values: Values) -> ET.Element:
        """Arrays repeat their element, NULL is nil."""
        element = ET.Element(f"{{{self._uri(name)}}}{root}")
        for key, value in values.items():
            for item in value if isinstance(value, list) else [value]:
                child = ET.SubElement(element, f"{{{self._uri(name)}}}{key}")
                child.text = item
                if item is None:
                    child.set(NIL, "true")
        return element


def read(instance: ET.Element) -> dict[str, Text]:
    """Child elements by name; one that repeats is a list."""
    values: dict[str, Text] = {}
    for child in instance:
        name = child.tag.rpartition("}")[2]
        inner = child[0] if len(child) else child  # a datetime is wrapped
        value = None if child.get(NIL) == "true" else inner.text or ""
        before = values.get(name)
        if name not in values:
            values[name] = value
        elif isinstance(before, list):
            before.append(value or "")
        else:
            values[name] = [before or "", value or ""]
    return values


def read_selectors(reference: ET.Element) -> dict[str, str]:
    """Keys of an endpoint reference, without the namespace."""
    selectors = {
        item.get("Name", ""): item.text or "" for item in reference.iter(f"{MANAGEMENT}Selector")
    }
    return {name: value for name, value in selectors.items() if name != "__cimnamespace"}


def _page(body: ET.Element) -> Page:
    [response] = body
    first = response.tag == f"{ENUMERATION}EnumerateResponse"
    space = MANAGEMENT if first else ENUMERATION
    return Page(
        items=response.findall(f"{space}Items/*"),
        context=response.findtext(f"{ENUMERATION}EnumerationContext") or "",
        ended=response.find(f"{space}EndOfSequence") is not None,
    )
