"""Envelopes of other clients, and hostile ones: header rules, encodings, limits."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fakes.guards import OpenGuard
from fakes.widgets import SCHEMA, Widgets
from fakes.wsman_client import WIDGET, XSI
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.cim.xmltext import escape
from openrdms.frontends.wsman.service import Service

CALLER = Caller("admin", "127.0.0.1", "administrator")
NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "m": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
}
DECLARED = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
GET = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
HEADERS = {
    "Action": f"<a:Action>{GET}</a:Action>",
    "MessageID": "<a:MessageID>uuid:1</a:MessageID>",
    "ResourceURI": f"<w:ResourceURI>{WIDGET}</w:ResourceURI>",
    "SelectorSet": (
        '<w:SelectorSet><w:Selector Name="Name">one</w:Selector>'
        '<w:Selector Name="Slot">1</w:Selector></w:SelectorSet>'
    ),
}
IDENTIFY = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body>'
    '<i:Identify xmlns:i="http://schemas.dmtf.org/wbem/wsman/{}/1/wsmanidentity.xsd"/>'
    "</s:Body></s:Envelope>"
)


def envelope(body: str = "", **headers: str) -> str:
    merged = HEADERS | headers
    return (
        f"<s:Envelope {DECLARED}><s:Header>{''.join(merged.values())}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


@pytest.fixture(scope="module")
def service() -> Service:
    widgets = Widgets()
    widgets.add("one", 1, Text="here")
    return Service(
        Namespaces([ObjectManager(SCHEMA, {"Test_Widget": widgets}, OpenGuard())]), "1.2.3"
    )


def send(service: Service, data: str | bytes) -> tuple[int, ET.Element]:
    status, reply = service.handle(CALLER, data.encode() if isinstance(data, str) else data)
    return status, ET.fromstring(reply)


def subcode(root: ET.Element) -> str:
    return root.findtext(".//s:Subcode/s:Value", "", NS)


def detail(root: ET.Element) -> str:
    return root.findtext(".//w:FaultDetail", "", NS).rpartition("/")[2]


class TestHeaders:
    @pytest.mark.parametrize(
        "data",
        [
            envelope(),
            envelope(To="<a:To s:mustUnderstand='1'>/wsman</a:To>"),
            envelope(MessageID="<a:MessageID s:mustUnderstand='true'>uuid:1</a:MessageID>"),
            envelope(Action=f"<a:Action s:mustUnderstand='1'>\n  {GET}\n </a:Action>"),
            envelope(OperationTimeout="<w:OperationTimeout>PT1.000S</w:OperationTimeout>"),
            envelope(Locale="<w:Locale xml:lang='de-DE' s:mustUnderstand='false'/>"),
            envelope(Odd="<x:Odd xmlns:x='urn:odd'/>"),
            envelope(Odd="<x:Odd xmlns:x='urn:odd' s:mustUnderstand='false'/>"),
            envelope(SequenceId="<m:SequenceId s:mustUnderstand='true'>1</m:SequenceId>"),
            envelope(
                ReplyTo=f"<a:ReplyTo><a:Address>{NS['a']}/role/anonymous</a:Address></a:ReplyTo>"
            ),
            f"<?xml version='1.0' encoding='utf-8'?>\n{envelope()}",
            f"\ufeff{envelope()}",
            envelope()
            .replace("<s:", "<SOAP-ENV:")
            .replace("</s:", "</SOAP-ENV:")
            .replace("xmlns:s=", "xmlns:SOAP-ENV="),
            envelope().replace("<s:Body>", "<s:Body><!-- nothing -->"),
        ],
    )
    def test_what_clients_send_is_understood(self, service: Service, data: str) -> None:
        status, root = send(service, data)
        assert status == 200, subcode(root)
        assert root.findtext("s:Header/a:RelatesTo", "", NS) == "uuid:1"

    def test_nil_counts_whatever_namespace_a_client_puts_it_in(self, service: Service) -> None:
        inputs = "<p:Text q:nil='true'/><p:Tags q:nil='TRUE'/><p:When q:nil='1'/>"
        body = (
            f'<p:Echo_INPUT xmlns:p="{WIDGET}" xmlns:q="http://www.w3.org/2001/XMLSchema">'
            f"{inputs}</p:Echo_INPUT>"
        )
        _, root = send(service, envelope(body, Action=f"<a:Action>{WIDGET}/Echo</a:Action>"))
        for name in ("TextOut", "TagsOut", "WhenOut"):
            found = root.find(f".//{{{WIDGET}}}{name}")
            assert found is not None
            assert found.get(f"{{{XSI}}}nil") == "true"

    def test_a_body_in_a_default_namespace(self, service: Service) -> None:
        namespace = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
        data = envelope(
            f'<Enumerate xmlns="{namespace}"/>',
            Action=f"<a:Action>{namespace}/Enumerate</a:Action>",
            SelectorSet="",
        )
        status, root = send(service, data)
        assert status == 200
        assert (root.findtext(f".//{{{namespace}}}EnumerationContext") or "").startswith("uuid:")

    def test_any_order_and_a_bare_number_as_message_id(self, service: Service) -> None:
        message = "<a:MessageID> 17</a:MessageID>"
        reordered = dict(reversed(list((HEADERS | {"MessageID": message}).items())))
        data = (
            f"<s:Envelope {DECLARED}><s:Body/><s:Header>{''.join(reordered.values())}"
            "</s:Header></s:Envelope>"
        )
        status, root = send(service, data)
        assert status == 200
        assert root.findtext("s:Header/a:RelatesTo", "", NS) == " 17"

    def test_the_operation_id_comes_back(self, service: Service) -> None:
        header = "<m:OperationID s:mustUnderstand='false'>uuid:op</m:OperationID>"
        for body in (envelope(OperationID=header), envelope(OperationID=header, SelectorSet="")):
            _, root = send(service, body)
            assert root.findtext("s:Header/m:OperationID", "", NS) == "uuid:op"

    @pytest.mark.parametrize("value", ["true", "1", "TRUE"])
    def test_a_mandatory_header_must_be_known(self, service: Service, value: str) -> None:
        odd = f"<x:Odd xmlns:x='urn:odd' s:mustUnderstand='{value}'/>"
        status, root = send(service, envelope(Odd=odd))
        assert status == 500
        assert root.findtext(".//s:Code/s:Value", "", NS) == "s:MustUnderstand"
        not_understood = root.find("s:Header/s:NotUnderstood", NS)
        assert not_understood is not None
        assert not_understood.get("qname", "").endswith(":Odd")
        assert root.findtext("s:Header/a:RelatesTo", "", NS) == "uuid:1"

    @pytest.mark.parametrize("name", ["Action", "MessageID", "ResourceURI"])
    def test_a_missing_header(self, service: Service, name: str) -> None:
        status, root = send(service, envelope(**{name: ""}))
        assert (status, subcode(root)) == (500, "a:MessageInformationHeaderRequired")
        assert name in root.findtext(".//s:Reason/s:Text", "", NS)

    def test_a_header_given_twice(self, service: Service) -> None:
        _, root = send(service, envelope(Again=HEADERS["Action"]))
        assert subcode(root) == "a:InvalidMessageInformationHeader"

    @pytest.mark.parametrize("text", ["soon", "60", "P", "-PT1S"])
    def test_a_timeout_that_is_no_duration(self, service: Service, text: str) -> None:
        header = f"<w:OperationTimeout>{text}</w:OperationTimeout>"
        _, root = send(service, envelope(OperationTimeout=header))
        assert subcode(root) == "a:InvalidMessageInformationHeader"

    @pytest.mark.parametrize("text", ["PT60.000S", "PT20S", " PT1.000S ", "P0DT0H1M0S"])
    def test_a_timeout_as_clients_write_it(self, service: Service, text: str) -> None:
        header = f"<w:OperationTimeout>{text}</w:OperationTimeout>"
        assert send(service, envelope(OperationTimeout=header))[0] == 200

    def test_an_answer_to_somewhere_else(self, service: Service) -> None:
        header = "<a:ReplyTo><a:Address>http://example.test/</a:Address></a:ReplyTo>"
        _, root = send(service, envelope(ReplyTo=header))
        assert (subcode(root), detail(root)) == ("w:UnsupportedFeature", "AddressingMode")

    def test_fragments(self, service: Service) -> None:
        _, root = send(service, envelope(F="<w:FragmentTransfer>Text</w:FragmentTransfer>"))
        assert (subcode(root), detail(root)) == ("w:UnsupportedFeature", "FragmentLevelAccess")

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("<w:SelectorSet>{}</w:SelectorSet>", "SelectorLimit"),
            ("<w:OptionSet>{}</w:OptionSet>", "OptionLimit"),
        ],
    )
    def test_too_many_of_a_kind(self, service: Service, header: str, expected: str) -> None:
        many = header.format("<w:Selector Name='x'>1</w:Selector>" * 101)
        _, root = send(service, envelope(SelectorSet=many))
        assert (subcode(root), detail(root)) == ("w:EncodingLimit", expected)

    def test_a_reference_is_no_key_of_these_classes(self, service: Service) -> None:
        header = (
            '<w:SelectorSet><w:Selector Name="Name"><a:EndpointReference><a:Address>x</a:Address>'
            "</a:EndpointReference></w:Selector></w:SelectorSet>"
        )
        _, root = send(service, envelope(SelectorSet=header))
        assert (subcode(root), detail(root)) == ("w:InvalidSelectors", "TypeMismatch")

    @pytest.mark.parametrize("action", ["Renew", "GetStatus"])
    def test_actions_not_offered(self, service: Service, action: str) -> None:
        uri = f"http://schemas.xmlsoap.org/ws/2004/09/enumeration/{action}"
        _, root = send(service, envelope(Action=f"<a:Action>{uri}</a:Action>"))
        assert subcode(root) == "a:ActionNotSupported"

    def test_the_estimate_of_a_total_is_unknown(self, service: Service) -> None:
        namespace = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
        data = envelope(
            f"<n:Enumerate xmlns:n='{namespace}'/>",
            Action=f"<a:Action>{namespace}/Enumerate</a:Action>",
            SelectorSet="",
            Estimate="<w:RequestTotalItemsCountEstimate s:mustUnderstand='true'/>",
        )
        _, root = send(service, data)
        estimate = root.find("s:Header/w:TotalItemsCountEstimate", NS)
        assert estimate is not None
        assert estimate.get(f"{{{XSI}}}nil") == "true"


class TestIdentify:
    @pytest.mark.parametrize("spelling", ["identity", "identify"])
    def test_with_a_name(self, service: Service, spelling: str) -> None:
        status, root = send(service, IDENTIFY.format(spelling))
        assert status == 200
        assert root.findtext(".//{*}ProductVersion") == "1.2.3"
        assert root.findtext(".//{*}ProtocolVersion") == NS["w"]

    def test_without_a_name_the_version_is_hidden(self, service: Service) -> None:
        status, reply = service.identify(IDENTIFY.format("identity").encode())
        assert status == 200
        assert b"1.2.3" not in reply
        assert b"<i:ProductVersion>0.0.0<" in reply

    def test_without_a_name_there_is_nothing_else(self, service: Service) -> None:
        status, reply = service.identify(envelope().encode())
        assert (status, subcode(ET.fromstring(reply))) == (500, "w:AccessDenied")


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
    def test_served(self, service: Service, encoding: str) -> None:
        text = f'<?xml version="1.0" encoding="{encoding[:6]}"?>{envelope()}'
        status, _ = send(service, text.encode(encoding))
        assert status == 200

    @pytest.mark.parametrize("data", [b"<s:Envelope>\xff\xfe</s:Envelope>", b"<\0s\0:"])
    def test_refused(self, service: Service, data: bytes) -> None:
        _, root = send(service, data)
        assert (subcode(root), detail(root)) == ("w:EncodingLimit", "CharacterSet")


LAUGHS = "".join(
    [
        '<!DOCTYPE l [<!ENTITY a "ha">',
        *(f"<!ENTITY {new} '{10 * ('&' + old + ';')}'>" for old, new in pairwise("abcdefghi")),
        "]>",
    ]
)
ATTRIBUTES = " ".join(f"a{number}=''" for number in range(65))


class TestHostile:
    @pytest.mark.parametrize(
        "data",
        [
            "",
            " ",
            "no xml",
            "{}",
            "\0<",
            "<",
            "<a",
            "<a></b>",
            "<a>&undefined;</a>",
            f"{LAUGHS}<s:Envelope {DECLARED}><s:Body>&i;</s:Body></s:Envelope>",
            f'<!DOCTYPE x SYSTEM "file:///etc/passwd">{envelope()}',
            f"<?xml version='1.0'?><!DOCTYPE x>{envelope()}",
            f"<?php x?>{envelope()}",
            f"<!-- first -->{envelope()}",
            envelope("<?pi x?>"),
            f"{envelope()}<?pi x?>",
            envelope("<a>" * 70 + "</a>" * 70),
            envelope("<a>" * 5000),
            envelope(f"<a {ATTRIBUTES}/>"),
            envelope("<a>\x08</a>"),
            envelope("<a>&#8;</a>"),
            envelope("<a b='1' b='2'/>"),
            envelope("<undeclared:a/>"),
        ],
    )
    def test_is_refused_without_a_trace(self, service: Service, data: str) -> None:
        status, root = send(service, data)
        assert (status, subcode(root)) == (400, "w:SchemaValidationError")
        assert "Traceback" not in ET.tostring(root, "unicode")

    @pytest.mark.parametrize(
        "data",
        [
            "<a/>",
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>',
        ],
    )
    def test_what_is_not_soap_12(self, service: Service, data: str) -> None:
        status, root = send(service, data)
        assert status == 500
        assert root.findtext(".//s:Code/s:Value", "", NS) == "s:VersionMismatch"

    def test_xml_in_a_text_is_text(self, service: Service) -> None:
        job = '<![CDATA[<?xml version="1.0"?><!DOCTYPE x><Job/>]]>'
        inputs = f"<p:Text>{job}</p:Text><p:When>PT1S</p:When>"
        body = f'<p:Echo_INPUT xmlns:p="{WIDGET}">{inputs}</p:Echo_INPUT>'
        action = f"<a:Action>{WIDGET}/Echo</a:Action>"
        _, root = send(service, envelope(body, Action=action))
        found = root.findtext(f".//{{{WIDGET}}}TextOut")
        assert found == '<?xml version="1.0"?><!DOCTYPE x><Job/>'

    @given(st.binary(max_size=400))
    def test_any_bytes_are_answered(self, service: Service, data: bytes) -> None:
        status, _ = send(service, data)
        assert status in (400, 500)

    @given(
        st.dictionaries(
            st.sampled_from([*HEADERS, "Odd", "MaxEnvelopeSize", "OptionSet", "ReplyTo"]),
            st.text(alphabet=st.characters(codec="utf-8"), max_size=60).map(escape),
        ),
        st.text(alphabet=st.characters(codec="utf-8"), max_size=60).map(escape),
    )
    def test_any_headers_are_answered(
        self, service: Service, headers: dict[str, str], body: str
    ) -> None:
        wrapped = {
            name: f"<w:{name}>{text}</w:{name}>"
            if name != "MessageID"
            else f"<a:MessageID>{text}</a:MessageID>"
            for name, text in headers.items()
        }
        data = envelope(f"<x>{body}</x>", **wrapped)
        status, reply = service.handle(CALLER, data.encode())
        assert status in (200, 400, 500)
        etree.fromstring(reply)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_any_text_of_ours_can_be_read_again(text: str) -> None:
    root = etree.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>'.encode())
    legal = "".join(
        c
        if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff"
        else "\ufffd"
        for c in text
    )
    assert (root.text or "") == legal
