"""XML documents that come as values of parameters and properties."""

from __future__ import annotations

import re

from lxml import etree

from openrdms.model.errors import InvalidParameter

_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")


def parse_xml(text: str, field: str, limit: int) -> etree._Element:
    """The root of ``text``, whatever encoding it declares: a string has none any more.

    InvalidParameter for ``field`` when it is longer than ``limit`` characters or not well-formed.
    """
    if len(text) > limit:
        raise InvalidParameter(field, f"longer than {limit} characters")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(_DECLARATION.sub("", text, count=1).encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as error:
        raise InvalidParameter(field, f"not well-formed XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise InvalidParameter(field, "a document type declaration is not allowed")
    return root
