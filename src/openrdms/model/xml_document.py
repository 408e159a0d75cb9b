"""XML documents that come as values of parameters and properties."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

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


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold (production 2); error texts of hosts may hold anything."""


def check_text(field: str, text: str) -> None:
    """InvalidParameter for ``field`` when no XML can hold that."""
    if _NOT_XML.search(text):
        raise InvalidParameter(field, "has characters that XML cannot hold")


def write_element(name: str, text: object) -> str:
    """An element with a text, as XML."""
    # A carriage return would be read as a line feed.
    escaped = escape(_NOT_XML.sub("\ufffd", str(text)), {"\r": "&#13;"})
    return f"<{name}>{escaped}</{name}>"


def read_texts(parent: etree._Element, namespace: str) -> dict[str, str]:
    """Texts of the child elements of one namespace by their local names, the last of each."""
    start = len(namespace) + 2
    prefix = f"{{{namespace}}}"
    return {
        child.tag[start:]: child.text or ""
        for child in parent.iterchildren(etree.Element)
        if child.tag.startswith(prefix)
    }
