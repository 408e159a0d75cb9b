"""SOAP faults: the table of DSP0226 section 14 and how CIM errors map to it.

``ms_code`` is the number that Windows gives in WSManFault (wsmerror.h); clients of that dialect
decide by it. Where a kind has none, the provider's WBEM code stands there.
"""

from __future__ import annotations

from dataclasses import dataclass

from openrdms.cim.errors import CimError, CimStatus, KeysError
from openrdms.cim.xmltext import escape
from openrdms.frontends.wsman import names


@dataclass(frozen=True)
class Kind:
    """One row of the fault table. ``action`` is the fault action of the subcode's protocol."""

    role: str
    subcode: str
    ms_code: int
    detail: str = ""

    @property
    def action(self) -> str:
        return _ACTIONS[self.subcode.partition(":")[0]]


_ACTIONS = {
    "": names.ADDRESSING_FAULT,
    "a": names.ADDRESSING_FAULT,
    "x": names.TRANSFER_FAULT,
    "n": names.ENUMERATION_FAULT,
    "w": names.WSMAN_FAULT,
    "b": names.CIM_BINDING_FAULT,
}

VERSION_MISMATCH = Kind("VersionMismatch", "", 2150858765)
MUST_UNDERSTAND = Kind("MustUnderstand", "", 2150858768)
INVALID_XML = Kind("Sender", "w:SchemaValidationError", 2150858819)
SCHEMA_VALIDATION = Kind("Sender", "w:SchemaValidationError", 2150858817)
HEADER_REQUIRED = Kind("Sender", "a:MessageInformationHeaderRequired", 2150858769)
INVALID_HEADER = Kind("Sender", "a:InvalidMessageInformationHeader", 2150858767)
ADDRESSING_MODE = Kind("Sender", "w:UnsupportedFeature", 2150858870, "AddressingMode")
ACTION_NOT_SUPPORTED = Kind("Sender", "a:ActionNotSupported", 2150858771)
ACTION_MISMATCH = Kind("Sender", "a:ActionNotSupported", 2150858801, "ActionMismatch")
INVALID_RESOURCE_URI = Kind("Sender", "a:DestinationUnreachable", 2150858811, "InvalidResourceURI")
RESOURCE_NOT_FOUND = Kind("Sender", "a:DestinationUnreachable", 2150858752)
NOT_FOUND = Kind("Sender", "a:DestinationUnreachable", 0)
ACCESS_DENIED = Kind("Sender", "w:AccessDenied", 5)
ALREADY_EXISTS = Kind("Sender", "w:AlreadyExists", 0)
INVALID_OPTIONS = Kind("Sender", "w:InvalidOptions", 2150858809, "NotSupported")
INVALID_REPRESENTATION = Kind("Sender", "x:InvalidRepresentation", 2150858773)
WRONG_NAMESPACE = Kind("Sender", "x:InvalidRepresentation", 2150858840, "InvalidNamespace")
UNSUPPORTED_FEATURE = Kind("Sender", "w:UnsupportedFeature", 2150858818)
FRAGMENT_ACCESS = Kind("Sender", "w:UnsupportedFeature", 2150858871, "FragmentLevelAccess")
FILTERING_REQUIRED = Kind("Sender", "w:UnsupportedFeature", 2150858831, "FilteringRequired")
ENUMERATION_MODE = Kind("Sender", "w:UnsupportedFeature", 2150858886, "EnumerationMode")
POLYMORPHISM = Kind("Sender", "b:PolymorphismModeNotSupported", 2150858818)
CANNOT_PROCESS_FILTER = Kind("Sender", "n:CannotProcessFilter", 2150858778)
DIALECT_UNAVAILABLE = Kind("Sender", "n:FilterDialectRequestedUnavailable", 2150858777)
INVALID_CONTEXT = Kind("Receiver", "n:InvalidEnumerationContext", 2150858779)
CHARACTER_SET = Kind("Sender", "w:EncodingLimit", 2150858828, "CharacterSet")
ENVELOPE_LIMIT = Kind("Sender", "w:EncodingLimit", 2150858823, "MaxEnvelopeSize")
ENVELOPE_EXCEEDED = Kind("Sender", "w:EncodingLimit", 2150858824, "MaxEnvelopeSizeExceeded")
ENVELOPE_MINIMUM = Kind("Sender", "w:EncodingLimit", 2150858878, "MinimumEnvelopeLimit")
SELECTOR_LIMIT = Kind("Sender", "w:EncodingLimit", 2150858826, "SelectorLimit")
OPTION_LIMIT = Kind("Sender", "w:EncodingLimit", 2150858827, "OptionLimit")
INTERNAL_ERROR = Kind("Receiver", "w:InternalError", 0)

_OF_STATUS = {
    CimStatus.ACCESS_DENIED: ACCESS_DENIED,
    CimStatus.INVALID_NAMESPACE: INVALID_RESOURCE_URI,
    CimStatus.INVALID_CLASS: INVALID_RESOURCE_URI,
    CimStatus.NOT_FOUND: NOT_FOUND,
    CimStatus.NOT_SUPPORTED: UNSUPPORTED_FEATURE,
    CimStatus.ALREADY_EXISTS: ALREADY_EXISTS,
    CimStatus.TYPE_MISMATCH: SCHEMA_VALIDATION,
    CimStatus.QUERY_LANGUAGE_NOT_SUPPORTED: DIALECT_UNAVAILABLE,
    CimStatus.INVALID_QUERY: CANNOT_PROCESS_FILTER,
    CimStatus.METHOD_NOT_AVAILABLE: ACTION_NOT_SUPPORTED,
    CimStatus.METHOD_NOT_FOUND: ACTION_NOT_SUPPORTED,
    CimStatus.INVALID_ENUMERATION_CONTEXT: INVALID_CONTEXT,
}
_OF_KEYS = {
    "Insufficient": Kind("Sender", "w:InvalidSelectors", 2150859002, "InsufficientSelectors"),
    "Unexpected": Kind("Sender", "w:InvalidSelectors", 2150858843, "UnexpectedSelectors"),
    "Duplicate": Kind("Sender", "w:InvalidSelectors", 2150858847, "DuplicateSelectors"),
    "TypeMismatch": Kind("Sender", "w:InvalidSelectors", 2150858844, "TypeMismatch"),
}
_OF_PROBLEM = {
    "InvalidName": Kind("Sender", "w:InvalidParameter", 2150858837, "InvalidName"),
    "MissingValues": Kind("Sender", "w:InvalidParameter", 2150858839, "MissingValues"),
    "InvalidValue": Kind("Sender", "w:InvalidParameter", 0, "InvalidValue"),
}


class Fault(Exception):
    """The answer is a SOAP fault. ``error`` is the CIM error behind it, if one is.

    ``header`` is a SOAP header that goes with it.
    """

    def __init__(
        self, kind: Kind, message: str, *, error: CimError | None = None, header: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.error = error
        self.header = header


def from_cim(error: CimError, *, absent: Kind = NOT_FOUND) -> Fault:
    """The fault of a CIM error; ``absent`` is what NOT_FOUND means to the operation."""
    kind = absent if error.status is CimStatus.NOT_FOUND else _kind(error)
    header = render_reason(str(error), error.reason_code) if error.reason_code else ""
    return Fault(kind, str(error), error=error, header=header)


def _kind(error: CimError) -> Kind:
    if isinstance(error, KeysError):
        return _OF_KEYS[error.problem]
    if error.status in (CimStatus.INVALID_PARAMETER, CimStatus.NO_SUCH_PROPERTY):
        return _OF_PROBLEM[error.problem]
    return _OF_STATUS.get(error.status, INTERNAL_ERROR)


def render_reason(words: str, code: str) -> str:
    """The SOAP header of ours that says why; "" is no code."""
    known = f' Code="{escape(code)}"' if code else ""
    return f'<o:Reason xmlns:o="{names.REASON}"{known}>{escape(words)}</o:Reason>'


def render(fault: Fault) -> str:
    """The s:Fault element."""
    kind = fault.kind
    subcode = f"<s:Subcode><s:Value>{kind.subcode}</s:Value></s:Subcode>" if kind.subcode else ""
    detail = f"<w:FaultDetail>{names.FAULT_DETAIL}{kind.detail}</w:FaultDetail>"
    text = escape(str(fault))
    return (
        f"<s:Fault><s:Code><s:Value>s:{kind.role}</s:Value>{subcode}</s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason>'
        f"<s:Detail>{detail if kind.detail else ''}{_render_windows(fault)}"
        f"{_render_cim_error(fault.error) if fault.error else ''}</s:Detail></s:Fault>"
    )


def _render_windows(fault: Fault) -> str:
    wbem = fault.error.wbem if fault.error else 0
    words = f"{fault} (0x{wbem:08X})" if wbem else str(fault)
    code = fault.kind.ms_code or wbem or INTERNAL_MS_CODE
    return (
        f'<f:WSManFault xmlns:f="{names.MS_FAULT}" Code="{code}" Machine="">'
        f"<f:Message>{escape(words)}</f:Message></f:WSManFault>"
    )


INTERNAL_MS_CODE = 2150858755
"""ERROR_WSMAN_PROVIDER_FAILURE."""


def _render_cim_error(error: CimError) -> str:
    text = escape(str(error))
    return (
        f'<p:MSFT_WmiError xmlns:p="{names.MS_ERROR}"'
        ' b:IsCIM_Error="true" xsi:type="p:MSFT_WmiError_Type">'
        f"<p:CIMStatusCode>{int(error.status)}</p:CIMStatusCode>"
        f"<p:Message>{text}</p:Message>"
        f"<p:MessageID>HRESULT 0x{error.wbem:08x}</p:MessageID>"
        '<p:OtherErrorType xsi:nil="true"/><p:OwningEntity xsi:nil="true"/>'
        "<p:PerceivedSeverity>0</p:PerceivedSeverity>"
        f"<p:error_Category>0</p:error_Category><p:error_Code>{error.wbem}</p:error_Code>"
        "<p:error_Type>HRESULT</p:error_Type>"
        f"<p:error_WindowsErrorMessage>{text}</p:error_WindowsErrorMessage>"
        "</p:MSFT_WmiError>"
    )
