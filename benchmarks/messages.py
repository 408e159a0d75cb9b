"""The requests that are measured, in both protocols, as stock clients send them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.fill import COLLECTION, KEY, VALUE

NAMESPACE = "root/cimv2/rdms"
COLLECTIONS = "Win32_RDMSVirtualDesktopCollection"
DESKTOPS = "Win32_RDMSVirtualDesktop"
_CLASSES = f"http://schemas.microsoft.com/wbem/wsman/1/wmi/{NAMESPACE}/"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
_SOAP = {"Content-Type": "application/soap+xml;charset=UTF-8"}
_SELECTORS = f'<w:SelectorSet><w:Selector Name="Alias">{COLLECTION}</w:Selector></w:SelectorSet>'
_KEYS = (
    f'<INSTANCENAME CLASSNAME="{COLLECTIONS}"><KEYBINDING NAME="Alias"><KEYVALUE>{COLLECTION}'
    "</KEYVALUE></KEYBINDING></INSTANCENAME>"
)
_PLACE = "".join(f'<NAMESPACE NAME="{part}"/>' for part in NAMESPACE.split("/"))


@dataclass(frozen=True)
class Post:
    """A request, and what its reply holds when it went well."""

    path: str
    body: bytes
    expected: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: _SOAP)


def wsman_get() -> Post:
    """The collection."""
    body = _envelope(f"{_TRANSFER}/Get", COLLECTIONS, _SELECTORS)
    return Post("/wsman", body, f"<p:Alias>{COLLECTION}</p:Alias>".encode())


def wsman_invoke() -> Post:
    """Its stored property."""
    uri = f"{_CLASSES}{COLLECTIONS}"
    method = "GetInt32Property"
    content = f'<p:{method}_INPUT xmlns:p="{uri}"><p:Key>{KEY}</p:Key></p:{method}_INPUT>'
    body = _envelope(f"{uri}/{method}", COLLECTIONS, _SELECTORS, content)
    return Post("/wsman", body, f"<p:Value>{VALUE}</p:Value>".encode())


def wsman_enumerate(count: int) -> Post:
    """The first ``count`` desktops, or as many as fit."""
    content = (
        f"<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>{count}</w:MaxElements></n:Enumerate>"
    )
    body = _envelope(f"{_ENUMERATION}/Enumerate", DESKTOPS, "", content)
    return Post("/wsman", body, b"EnumerateResponse")


def wsman_pull(context: str, count: int) -> Post:
    """The next ones."""
    content = (
        f"<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>"
        f"<n:MaxElements>{count}</n:MaxElements></n:Pull>"
    )
    return Post("/wsman", _envelope(f"{_ENUMERATION}/Pull", DESKTOPS, "", content), b"PullResponse")


def cimxml_get() -> Post:
    """The collection."""
    expected = f'NAME="Alias" TYPE="string"><VALUE>{COLLECTION}</VALUE>'.encode()
    return _intrinsic(
        "GetInstance", f'<IPARAMVALUE NAME="InstanceName">{_KEYS}</IPARAMVALUE>', expected
    )


def cimxml_invoke() -> Post:
    """Its stored property."""
    method = "GetInt32Property"
    call = (
        f'<METHODCALL NAME="{method}"><LOCALINSTANCEPATH><LOCALNAMESPACEPATH>{_PLACE}'
        f"</LOCALNAMESPACEPATH>{_KEYS}</LOCALINSTANCEPATH>"
        f'<PARAMVALUE NAME="Key" PARAMTYPE="string"><VALUE>{KEY}</VALUE></PARAMVALUE></METHODCALL>'
    )
    target = f'{NAMESPACE}:{COLLECTIONS}.Alias="{COLLECTION}"'
    return _message(method, target, call, f"<VALUE>{VALUE}</VALUE>".encode())


def cimxml_open(count: int) -> Post:
    """The first ``count`` desktops."""
    return _intrinsic(
        "OpenEnumerateInstances",
        f'<IPARAMVALUE NAME="ClassName"><CLASSNAME NAME="{DESKTOPS}"/></IPARAMVALUE>'
        f"{_count(count)}",
        b"EnumerationContext",
    )


def cimxml_pull(context: str, count: int) -> Post:
    """The next ones."""
    return _intrinsic(
        "PullInstancesWithPath",
        f'<IPARAMVALUE NAME="EnumerationContext"><VALUE>{context}</VALUE></IPARAMVALUE>'
        f"{_count(count)}",
        b"EnumerationContext",
    )


def _count(count: int) -> str:
    return f'<IPARAMVALUE NAME="MaxObjectCount"><VALUE>{count}</VALUE></IPARAMVALUE>'


def _intrinsic(name: str, parameters: str, expected: bytes) -> Post:
    call = (
        f'<IMETHODCALL NAME="{name}"><LOCALNAMESPACEPATH>{_PLACE}</LOCALNAMESPACEPATH>'
        f"{parameters}</IMETHODCALL>"
    )
    return _message(name, NAMESPACE, call, expected)


def _message(method: str, target: str, call: str, expected: bytes) -> Post:
    body = (
        '<?xml version="1.0" encoding="utf-8"?><CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        f'<MESSAGE ID="1001" PROTOCOLVERSION="1.0"><SIMPLEREQ>{call}</SIMPLEREQ></MESSAGE></CIM>'
    ).encode()
    headers = {
        "Content-Type": 'application/xml; charset="utf-8"',
        "CIMOperation": "MethodCall",
        "CIMMethod": method,
        "CIMObject": target,
    }
    return Post("/cimom", body, expected, headers)


def _envelope(action: str, class_name: str, selectors: str, content: str = "") -> bytes:
    addressing = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
    required = 's:mustUnderstand="true"'
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
        f' xmlns:a="{addressing}" xmlns:n="{_ENUMERATION}"'
        ' xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"'
        ' xmlns:m="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><s:Header>'
        f"<a:To>http://127.0.0.1:5985/wsman</a:To>"
        f"<w:ResourceURI {required}>{_CLASSES}{class_name}</w:ResourceURI>"
        f"<a:ReplyTo><a:Address {required}>{addressing}/role/anonymous</a:Address></a:ReplyTo>"
        f"<a:Action {required}>{action}</a:Action>"
        f"<w:MaxEnvelopeSize {required}>512000</w:MaxEnvelopeSize>"
        f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID>"
        '<w:Locale xml:lang="en-US" s:mustUnderstand="false"/>'
        '<m:DataLocale xml:lang="en-US" s:mustUnderstand="false"/>'
        f'<m:SessionId s:mustUnderstand="false">uuid:{uuid.uuid4()}</m:SessionId>'
        f"<w:OperationTimeout>PT60.000S</w:OperationTimeout>{selectors}</s:Header>"
        f"<s:Body>{content}</s:Body></s:Envelope>"
    ).encode()
