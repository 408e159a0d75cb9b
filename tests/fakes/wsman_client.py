"""WS-Management requests as pypsrp serialises them, sent to a service without a socket."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping

from pypsrp.wsman import NAMESPACES, OptionSet, SelectorSet, WSMan

MS = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/rdms/"
DMTF = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
WIDGET = f"{MS}Test_Widget"
XSI = NAMESPACES["xsi"]
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
SELECTOR_FILTER = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter"

Send = Callable[[bytes], tuple[int, bytes]]


class FrameClient(WSMan):
    """pypsrp's client over a function instead of HTTP."""

    def __init__(self, send: Send, max_envelope_size: int = 153600) -> None:
        super().__init__("frames", max_envelope_size=max_envelope_size, auth="basic")
        self._send_frame = send
        self.transport.send = self._exchange
        self.sent = b""
        self.received = b""

    def _exchange(self, message: bytes, **_: object) -> bytes:
        from pypsrp.exceptions import WinRMTransportError

        self.sent = message
        status, self.received = self._send_frame(message)
        if status != 200:
            raise WinRMTransportError("http", status, self.received.decode())
        return self.received


def selectors(**values: object) -> SelectorSet:
    chosen = SelectorSet()
    for name, value in values.items():
        chosen.add_option(name, str(value))
    return chosen


def options(name: str, value: str, **attributes: str) -> OptionSet:
    chosen = OptionSet()
    chosen.add_option(name, value, attributes)
    return chosen


def element(uri: str, name: str, values: Mapping[str, object] | None = None) -> ET.Element:
    """A class element or a METHOD_INPUT; None is nil, a list repeats."""
    root = ET.Element(f"{{{uri}}}{name}")
    for key, value in (values or {}).items():
        for item in value if isinstance(value, list) else [value]:
            child = ET.SubElement(root, f"{{{uri}}}{key}")
            if item is None:
                child.set(f"{{{XSI}}}nil", "true")
            else:
                child.text = str(item)
    return root


def enumerate_body(
    *,
    optimise: bool = True,
    max_elements: int | None = None,
    mode: str = "",
    wql: str = "",
    dialect: str = WQL,
) -> ET.Element:
    wsman = NAMESPACES["wsman"]
    root = ET.Element(f"{{{NAMESPACES['wsen']}}}Enumerate")
    if optimise:
        ET.SubElement(root, f"{{{wsman}}}OptimizeEnumeration")
    if max_elements is not None:
        ET.SubElement(root, f"{{{wsman}}}MaxElements").text = str(max_elements)
    if wql:
        ET.SubElement(root, f"{{{wsman}}}Filter", Dialect=dialect).text = wql
    if mode:
        ET.SubElement(root, f"{{{wsman}}}EnumerationMode").text = mode
    return root


def pull_body(context: str, max_elements: int = 1, name: str = "Pull") -> ET.Element:
    wsen = NAMESPACES["wsen"]
    root = ET.Element(f"{{{wsen}}}{name}")
    ET.SubElement(root, f"{{{wsen}}}EnumerationContext").text = context
    if name == "Pull":
        ET.SubElement(root, f"{{{wsen}}}MaxElements").text = str(max_elements)
    return root


def values_of(parent: ET.Element) -> dict[str, object]:
    """Children by local name: text, None for nil, a list when repeated."""
    found: dict[str, object] = {}
    for child in parent:
        name = child.tag.rpartition("}")[2]
        nil = child.get(f"{{{XSI}}}nil") == "true"
        value = None if nil else (child[0].text if len(child) else child.text or "")
        if name in found:
            before = found[name]
            found[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            found[name] = value
    return found
