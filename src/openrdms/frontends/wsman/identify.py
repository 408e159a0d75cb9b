"""Identify: the one question that needs no headers, and may be asked without a name."""

from __future__ import annotations

from openrdms.cim.xmltext import escape
from openrdms.frontends.wsman import names
from openrdms.frontends.wsman.soap import Element, Reply

_TAGS = frozenset(
    f"{{{namespace}}}Identify" for namespace in (names.IDENTITY, names.IDENTIFY_VARIANT)
)
HIDDEN_VERSION = "0.0.0"
"""What somebody without a name is told, as Windows does."""


def is_identify(body: Element | None) -> bool:
    """True when the body is wsmid:Identify."""
    return body is not None and body.tag in _TAGS


def answer(version: str) -> Reply:
    """IdentifyResponse, which has no headers: nothing was addressed (DSP0226 section 11)."""
    return Reply(
        "",
        f'<i:IdentifyResponse xmlns:i="{names.IDENTITY}">'
        f"<i:ProtocolVersion>{names.WSMAN}</i:ProtocolVersion>"
        "<i:ProductVendor>OpenRDMS</i:ProductVendor>"
        f"<i:ProductVersion>{escape(version)}</i:ProductVersion></i:IdentifyResponse>",
    )
