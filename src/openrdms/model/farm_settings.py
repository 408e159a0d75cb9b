"""The VmFarmSettings document of a collection (facts b.1): root Farm, children Metadata."""

from __future__ import annotations

from lxml import etree

from openrdms.model.errors import InvalidParameter

DEFAULT = '<Farm><Metadata Name="SaveDelay" Value="1800000" /></Farm>'
"""What a collection has when its maker gave nothing.

Stock clients read SaveDelay, in milliseconds, and fail without it. Microsoft's own default is not
published; ours is half an hour.
"""

_FIELD = "VmFarmSettings"
_MAX_DELAY = 2**32 - 1


def check_farm_settings(text: str) -> None:
    """InvalidParameter unless clients can read the document: well formed, with a SaveDelay."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        farm = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as error:
        raise InvalidParameter(_FIELD, f"not well-formed XML: {error}") from error
    delays = [
        item.get("Value", "")
        for item in farm.findall("Metadata")
        if item.get("Name") == "SaveDelay"
    ]
    if farm.tag != "Farm" or len(delays) != 1:
        raise InvalidParameter(_FIELD, "needs a root Farm with one Metadata called SaveDelay")
    if not delays[0].isdecimal() or int(delays[0]) > _MAX_DELAY:
        raise InvalidParameter(_FIELD, f"SaveDelay {delays[0]!r} is not a number of milliseconds")
