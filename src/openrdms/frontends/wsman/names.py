"""Every URI of WS-Management (DSP0226, DSP0227) and Microsoft's dialect that we read or write."""

from __future__ import annotations

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
ANONYMOUS = f"{ADDRESSING}/role/anonymous"
ADDRESSING_FAULT = f"{ADDRESSING}/fault"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
TRANSFER_FAULT = f"{TRANSFER}/fault"
ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
ENUMERATION_FAULT = f"{ENUMERATION}/fault"
EVENTING = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
WSMAN_FAULT = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
FAULT_DETAIL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"
CIM_BINDING = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
CIM_BINDING_FAULT = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/fault"
CIM_COMMON = "http://schemas.dmtf.org/wbem/wscim/1/common"
IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
IDENTIFY_VARIANT = "http://schemas.dmtf.org/wbem/wsman/identify/1/wsmanidentity.xsd"
"""Spelled so by some clients; accepted, never sent."""
MS_WSMAN = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
MS_FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
MS_ERROR = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
REASON = "urn:openrdms:reason"
"""Ours: a header that says in words why a method refused."""

DIALECT_WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
DIALECT_ASSOCIATION = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter"
DIALECT_SELECTOR = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter"

MS_CLASSES = "http://schemas.microsoft.com/wbem/wsman/1/wmi/"
DMTF_CLASSES = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
DMTF_ALL_CLASSES = "http://schemas.dmtf.org/wbem/wscim/1/*"
CLASS_SCHEMA = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*"

PREFIXES = {
    "s": SOAP,
    "a": ADDRESSING,
    "x": TRANSFER,
    "n": ENUMERATION,
    "w": WSMAN,
    "b": CIM_BINDING,
    "cim": CIM_COMMON,
    "xsi": XSI,
}
"""Declared on every envelope we send."""
