"""XML from strangers: what is read, what is refused, and that nothing else happens."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.frontends import xml_input
from openrdms.frontends.xml_input import CharacterSetError, WrongXmlError

TEXT = "<a>\u00e4\U0001f600</a>"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        f'\n <?xml version="1.0" encoding="utf-16"?>\n{TEXT}'.encode(),
        TEXT.replace("</a>", "<!-- no --></a>").encode(),
    ],
)
def test_encodings(data: bytes) -> None:
    assert xml_input.parse(data).text == "\u00e4\U0001f600"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a",
        b"<a>",
        b"<a/><b/>",
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b"<!-- first --><!DOCTYPE a><a/>",
        b"<a>&unknown;</a>",
        b"<?pi x?><a/>",
        b"<a><?pi x?></a>",
        b"<a/><?pi x?>",
        b"<a>\x00</a>",
        b"<a " + b" ".join(b'a%d=""' % number for number in range(65)) + b"/>",
        b"<a>" * 65 + b"</a>" * 65,
        b"<a>" * 10_000,
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(WrongXmlError):
        xml_input.parse(data)


def test_up_to_the_limits() -> None:
    attributes = b" ".join(b'a%d=""' % number for number in range(xml_input.MAX_ATTRIBUTES))
    depth = xml_input.MAX_DEPTH - 1
    xml_input.parse(b"<a " + attributes + b">" + b"<b>" * depth + b"</b>" * depth + b"</a>")


def test_another_character_set() -> None:
    with pytest.raises(CharacterSetError):
        xml_input.parse("<a>\u00e4</a>".encode("latin-1"))


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: f"<a>{text}</a>".encode()))
def test_any_bytes(data: bytes) -> None:
    with suppress(WrongXmlError):
        xml_input.parse(data)
