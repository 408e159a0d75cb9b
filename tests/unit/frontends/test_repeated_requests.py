"""A request that comes again is found by all but its ids, and by nothing less."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.frontends.wsman.repeated import MAX_KEPT, RepeatedRequests
from openrdms.frontends.wsman.soap import Message, Request

GET = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
ENVELOPE = """<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
 xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><s:Header>{before}
<a:Action>{action}</a:Action><a:MessageID{attribute}>{message}</a:MessageID>{operation}
<w:ResourceURI>http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/rdms/C</w:ResourceURI>
<w:SelectorSet><w:Selector Name="Alias">{alias}</w:Selector></w:SelectorSet></s:Header>
<s:Body>{body}</s:Body></s:Envelope>"""


def envelope(message: str = "uuid:1", operation: str = "", **parts: str) -> bytes:
    wrapped = f"<p:OperationID>{operation}</p:OperationID>" if operation else ""
    given = {"action": GET, "alias": "farm", "before": "", "attribute": "", "body": "", **parts}
    return ENVELOPE.format(message=message, operation=wrapped, **given).encode()


def read(repeated: RepeatedRequests, data: bytes) -> Request:
    message = Message(data)
    request = message.read()
    repeated.keep(data, message, request)
    return request


@pytest.fixture
def repeated() -> RepeatedRequests:
    return RepeatedRequests()


def test_what_differs_in_its_ids_is_the_same_request_with_other_ids(
    repeated: RepeatedRequests,
) -> None:
    first = read(repeated, envelope("uuid:1", "op-1"))
    found = repeated.find(envelope("17", "op-2"))
    assert found
    assert (found.echo.message_id, found.echo.operation_id) == ("17", "op-2")
    assert (found.action, found.selectors) == (first.action, first.selectors)


def test_anything_else_that_differs_is_another_request(repeated: RepeatedRequests) -> None:
    read(repeated, envelope())
    others = (
        envelope(alias="other"),
        envelope(operation="op"),
        envelope(attribute=' s:mustUnderstand="true"'),
        envelope(body="<x/>"),
    )
    assert [repeated.find(data) for data in others] == [None] * len(others)


@pytest.mark.parametrize("text", ["", "  ", "a&amp;b", "<x/>", "x" * 300])
def test_ids_that_need_a_parser_get_one(repeated: RepeatedRequests, text: str) -> None:
    read(repeated, envelope())
    assert repeated.find(envelope(text)) is None


def test_ids_that_are_no_text_get_a_parser(repeated: RepeatedRequests) -> None:
    read(repeated, envelope())
    assert repeated.find(envelope("XX").replace(b"XX", b"\xff\xfe")) is None


@pytest.mark.parametrize(
    "parts",
    [
        {"before": "<!-- <a:MessageID>uuid:1</a:MessageID> -->"},
        {"body": "<q:MessageID xmlns:q='urn:q'>uuid:1</q:MessageID>"},
        {"before": "<!-- <p:OperationID>op</p:OperationID> -->"},
        {"body": "<![CDATA[<a:MessageID>uuid:1</a:MessageID>]]>"},
    ],
)
def test_what_only_looks_like_an_id_is_never_kept(
    repeated: RepeatedRequests, parts: dict[str, str]
) -> None:
    data = envelope(**parts)
    read(repeated, data)
    assert repeated.find(data) is None


@pytest.mark.parametrize("written", ["<![CDATA[uuid:1]]>", "uuid&#58;1"])
@pytest.mark.parametrize(
    "parts",
    [
        {"before": "<q:MessageID xmlns:q='urn:q'>uuid:1</q:MessageID>"},
        {"before": "<!-- <a:MessageID>uuid:1</a:MessageID> -->"},
        {"alias": "MessageID>uuid:1"},
    ],
)
def test_what_looks_like_the_id_is_not_taken_for_one_that_is_written_in_another_way(
    repeated: RepeatedRequests, written: str, parts: dict[str, str]
) -> None:
    data = envelope(written, **parts)
    assert read(repeated, data).echo.message_id == "uuid:1"
    assert repeated.find(data) is None


def test_an_id_may_be_the_last_of_the_header(repeated: RepeatedRequests) -> None:
    def moved(message: str) -> bytes:
        element = f"<a:MessageID>{message}</a:MessageID>".encode()
        return (
            envelope(message)
            .replace(element, b"")
            .replace(b"</s:Header>", element + b"</s:Header>")
        )

    read(repeated, moved("uuid:1"))
    found = repeated.find(moved("uuid:2"))
    assert found
    assert found.echo.message_id == "uuid:2"


def test_octets_of_another_encoding_are_not_taken_for_text(repeated: RepeatedRequests) -> None:
    data = envelope().decode().encode("utf-16")
    assert read(repeated, data).echo.message_id == "uuid:1"
    assert repeated.find(data) is None


@pytest.mark.parametrize("text", ["MessageID ", "MessageID x>", "<!--MessageID ", "ID>"])
def test_text_full_of_names_of_ids_takes_no_longer(repeated: RepeatedRequests, text: str) -> None:
    data = envelope(body=f"<x>{text * (7000 // len(text))}</x>", alias="a")

    def find() -> float:
        begun = time.thread_time()
        assert repeated.find(data) is None
        return time.thread_time() - begun

    assert min(find() for _ in range(5)) < 0.01


def test_only_reads_are_kept(repeated: RepeatedRequests) -> None:
    for action in (f"{GET[:-3]}Put", "urn:x/ProvisioningPrepJob", "urn:x/SetConnectionString"):
        data = envelope(action=action)
        read(repeated, data)
        assert repeated.find(data) is None


def test_not_everything_is_kept_for_ever(repeated: RepeatedRequests) -> None:
    for number in range(MAX_KEPT + 1):
        read(repeated, envelope(alias=str(number)))
    assert repeated.find(envelope(alias="0")) is None
    assert repeated.find(envelope(alias=str(MAX_KEPT)))


@given(st.text(max_size=30), st.text(max_size=30))
def test_what_is_found_is_what_a_parser_reads(message: str, operation: str) -> None:
    repeated = RepeatedRequests()
    read(repeated, envelope(operation="op"))
    try:
        data = envelope(message, operation or "op")
    except UnicodeEncodeError:
        return
    found = repeated.find(data)
    if found:
        parsed = Message(data).read()
        assert (found.echo, found.action) == (parsed.echo, parsed.action)
