"""CIM-XML at the level of HTTP headers and messages: what is refused, and how; hostile XML."""

import time
import xml.etree.ElementTree as ET
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.cimxml_client import (
    error_of,
    imethodcall,
    iparam,
    local,
    message,
    methodcall,
    post,
    serve,
)
from fakes.widgets import NAMESPACE, Widgets
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.frontends.exchange import HttpReply, HttpRequest, ProtocolServer

CLASS = '<CLASSNAME NAME="Test_Widget"/>'
NAMES = imethodcall("EnumerateInstanceNames", iparam("ClassName", CLASS))
ADD = methodcall(
    "Add",
    CLASS,
    '<PARAMVALUE NAME="Left" PARAMTYPE="uint32"><VALUE>1</VALUE></PARAMVALUE>'
    '<PARAMVALUE NAME="Right"><VALUE>2</VALUE></PARAMVALUE>',
)
ONE = (
    '<INSTANCENAME CLASSNAME="Test_Widget"><KEYBINDING NAME="Name"><KEYVALUE>a:b.c="d"</KEYVALUE>'
    '</KEYBINDING><KEYBINDING NAME="Slot"><KEYVALUE VALUETYPE="numeric">1</KEYVALUE></KEYBINDING>'
    "</INSTANCENAME>"
)
KEYED = methodcall("Rename", ONE, '<PARAMVALUE NAME="Text"/>')
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE CIM [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in ("ab", "bc", "cd", "de")
    )
    + "]>"
)


@pytest.fixture(scope="module")
def widgets() -> Widgets:
    widgets = Widgets()
    widgets.add("one", 1, Text="here")
    widgets.add('a:b.c="d"', 1)
    return widgets


@pytest.fixture(scope="module")
def server(widgets: Widgets) -> CimXmlServer:
    return serve(widgets)


def token(reply: HttpReply) -> str:
    return dict(reply.headers).get("CIMError", "")


class TestHeaders:
    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (NAMES, {}),
            (NAMES, {"CIMObject": quote(NAMESPACE, safe="")}),
            (NAMES, {"CIMObject": "ROOT/CIMv2/RDMS"}),
            (NAMES, {"CIMMethod": "enumerateinstancenames", "CIMOperation": "methodcall"}),
            (NAMES, {"CIMProtocolVersion": "1.0"}),
            (NAMES, {"Content_Type": "text/xml"}),
            (ADD, {}),
            (ADD, {"CIMObject": quote(f"{NAMESPACE}:Test_Widget", safe="")}),
            (KEYED, {}),
            (KEYED, {"CIMObject": f'{NAMESPACE}:Test_Widget.Name="a:b.c=\\"d\\"",Slot=1'}),
        ],
    )
    def test_headers_that_say_what_the_body_says(
        self, server: CimXmlServer, body: str, headers: dict[str, str]
    ) -> None:
        reply = post(server, body, **headers)
        assert error_of(reply) == 0
        assert ("CIMOperation", "MethodResponse") in reply.headers
        assert reply.content_type == 'application/xml; charset="utf-8"'

    @pytest.mark.parametrize(
        ("body", "headers", "status", "expected"),
        [
            (NAMES, {"CIMOperation": ""}, 400, "unsupported-operation"),
            (NAMES, {"CIMOperation": "MethodResponse"}, 400, "unsupported-operation"),
            (NAMES, {"CIMMethod": ""}, 400, "header-mismatch"),
            (NAMES, {"CIMMethod": "GetClass"}, 400, "header-mismatch"),
            (NAMES, {"CIMObject": ""}, 400, "header-mismatch"),
            (NAMES, {"CIMObject": "root/cimv2"}, 400, "header-mismatch"),
            (NAMES, {"CIMObject": f"{NAMESPACE}, {NAMESPACE}"}, 400, "header-mismatch"),
            (ADD, {"CIMObject": NAMESPACE}, 400, "header-mismatch"),
            (ADD, {"CIMObject": f"{NAMESPACE}:Test_Silent"}, 400, "header-mismatch"),
            (ADD, {"CIMMethod": "Refuse"}, 400, "header-mismatch"),
            (ADD, {"CIMMethod": "%ff%00"}, 400, "header-mismatch"),
            (NAMES, {"CIMProtocolVersion": "2.0"}, 501, "unsupported-protocol-version"),
        ],
    )
    def test_headers_that_do_not(
        self,
        server: CimXmlServer,
        widgets: Widgets,
        body: str,
        headers: dict[str, str],
        status: int,
        expected: str,
    ) -> None:
        before = widgets.calls
        reply = post(server, body, **headers)
        assert (reply.status, token(reply)) == (status, expected)
        assert unquote(dict(reply.headers)["PGErrorDetail"])
        assert reply.body == b""
        assert widgets.calls == before


class TestEnvelopes:
    @pytest.mark.parametrize(
        "body",
        [
            NAMES.removeprefix('<?xml version="1.0" encoding="utf-8" ?>'),
            "\ufeff" + NAMES,
            NAMES.replace("<SIMPLEREQ>", "<!-- here -->\n <SIMPLEREQ>\n  "),
            NAMES.replace("<SIMPLEREQ>", '<SIMPLEREQ><CORRELATOR NAME="x" TYPE="string"/>'),
            NAMES.replace('DTDVERSION="2.0"', 'DTDVERSION="2.4"'),
            NAMES.replace("utf-8", "utf-16").encode("utf-16"),
        ],
    )
    def test_what_clients_send_is_understood(self, server: CimXmlServer, body: str | bytes) -> None:
        method = {"CIMMethod": "EnumerateInstanceNames", "CIMObject": NAMESPACE}
        assert error_of(post(server, body, **method)) == 0

    def test_the_id_and_the_name_come_back_as_they_were(self, server: CimXmlServer) -> None:
        body = NAMES.replace("1001", "&quot;&lt;\u00e4").replace("EnumerateInst", "enumerateInst")
        root = ET.fromstring(post(server, body).body)
        assert root[0].get("ID") == '"<\u00e4'
        assert root[0][0][0].get("NAME") == "enumerateInstanceNames"

    @pytest.mark.parametrize(
        ("body", "status", "expected"),
        [
            ("", 400, "request-not-well-formed"),
            ("hello", 400, "request-not-well-formed"),
            (NAMES[:-3], 400, "request-not-well-formed"),
            (NAMES.encode().replace(b"1001", b"\xff"), 400, "request-not-well-formed"),
            ("<CIM/>", 400, "request-not-valid"),
            ("<html/>", 400, "request-not-valid"),
            (NAMES.replace("MESSAGE", "MASSAGE"), 400, "request-not-valid"),
            (NAMES.replace('ID="1001"', ""), 400, "request-not-valid"),
            (message(""), 400, "request-not-valid"),
            (message("<CALL/>"), 400, "request-not-valid"),
            (message('<IMETHODCALL NAME="GetClass"/>'), 400, "request-not-valid"),
            (message(f"<IMETHODCALL>{local('x')}</IMETHODCALL>"), 400, "request-not-valid"),
            (message('<METHODCALL NAME="x"><CLASSNAME/></METHODCALL>'), 400, "request-not-valid"),
            (imethodcall("GetClass", "<PARAMVALUE NAME='x'/>"), 400, "request-not-valid"),
            (imethodcall("GetClass", "<IPARAMVALUE/>"), 400, "request-not-valid"),
            (imethodcall("GetClass").replace("NAMESPACE N", "NAME N"), 400, "request-not-valid"),
            (NAMES.replace("SIMPLEREQ", "MULTIREQ"), 501, "multiple-requests-unsupported"),
            (NAMES.replace('CIMVERSION="2', 'CIMVERSION="3'), 501, "unsupported-cim-version"),
            (NAMES.replace('DTDVERSION="2', 'DTDVERSION="1'), 501, "unsupported-dtd-version"),
            (NAMES.replace('ION="1.0"', 'ION="2.0"'), 501, "unsupported-protocol-version"),
        ],
    )
    def test_what_is_no_message(
        self, server: CimXmlServer, body: str | bytes, status: int, expected: str
    ) -> None:
        reply = post(server, body)
        assert (reply.status, token(reply)) == (status, expected)

    @pytest.mark.parametrize(
        "body",
        [
            LAUGHS + NAMES.partition("?>")[2].replace("1001", "&e;"),
            '<!DOCTYPE CIM SYSTEM "file:///etc/passwd">' + NAMES.partition("?>")[2],
            NAMES.replace("<SIMPLEREQ>", "<?php x ?><SIMPLEREQ>"),
            NAMES.replace("<SIMPLEREQ>", "<a>" * 70 + "</a>" * 70 + "<SIMPLEREQ>"),
            NAMES.replace(
                "<SIMPLEREQ>", "<SIMPLEREQ " + " ".join(f'a{n}=""' for n in range(70)) + ">"
            ),
            "<a>" * 100_000,
            "<a " + " ".join(f'a{n}=""' for n in range(50_000)) + "/>",
        ],
    )
    def test_hostile_xml_costs_nothing(
        self, server: CimXmlServer, widgets: Widgets, body: str
    ) -> None:
        before, used = widgets.calls, time.thread_time()
        reply = post(server, body, CIMMethod="EnumerateInstanceNames", CIMObject=NAMESPACE)
        assert (reply.status, token(reply)) == (400, "request-not-well-formed")
        assert time.thread_time() - used < 2
        assert widgets.calls == before


class TestUnknown:
    def test_nobody_is_answered(self, server: CimXmlServer) -> None:
        asked: ProtocolServer = server
        assert asked.handle_anonymous(HttpRequest("/cimom", {}, NAMES.encode())) is None

    def test_operations_that_change_the_schema_are_not_supported(
        self, server: CimXmlServer
    ) -> None:
        for name in (
            *("CreateClass", "ModifyClass", "DeleteClass", "SetQualifier", "DeleteQualifier"),
            *("SetProperty", "EnumerationCount", "Frobnicate", "__init__", ""),
        ):
            assert error_of(post(server, imethodcall(name))) == 7

    @pytest.mark.parametrize("namespace", ["root/cimv2/else", "", "/", "\u00e4"])
    def test_namespaces(self, server: CimXmlServer, namespace: str) -> None:
        body = imethodcall("EnumerateClassNames", namespace=namespace)
        assert error_of(post(server, body, CIMObject=quote(namespace))) == 3


_PARTS = st.sampled_from(
    [
        *("<", ">", "/", '"', "&", "]]>", "<!DOCTYPE a>", "<?x?>", "\x00", "&#0;", "\ufffe", ""),
        *("IPARAMVALUE", "PARAMVALUE", "VALUE", "VALUE.ARRAY", "VALUE.NULL", "INSTANCENAME"),
        *("KEYBINDING", "KEYVALUE", "CLASSNAME", "NAME", "TYPE", "Test_Widget", "root", "-1"),
        *(
            "<VALUE/>",
            "<VALUE>x</VALUE>",
            '<NAMESPACE NAME="x"/>',
            '<IPARAMVALUE NAME="ClassName"/>',
        ),
    ]
)
_REQUESTS = st.sampled_from(
    [
        NAMES,
        ADD,
        KEYED,
        imethodcall(
            "ModifyInstance",
            iparam(
                "ModifiedInstance",
                f"<VALUE.NAMEDINSTANCE>{ONE}"
                '<INSTANCE CLASSNAME="Test_Widget"><PROPERTY NAME="Text" TYPE="string">'
                '<VALUE>x</VALUE></PROPERTY><PROPERTY.ARRAY NAME="Octets" TYPE="uint8">'
                "<VALUE.ARRAY><VALUE>1</VALUE></VALUE.ARRAY></PROPERTY.ARRAY></INSTANCE>"
                "</VALUE.NAMEDINSTANCE>",
            ),
        ),
        imethodcall(
            "OpenEnumerateInstances",
            iparam("ClassName", CLASS)
            + iparam("FilterQueryLanguage", "<VALUE>WQL</VALUE>")
            + iparam("FilterQuery", "<VALUE>SELECT * FROM Test_Widget WHERE Slot = 1</VALUE>")
            + iparam("MaxObjectCount", "<VALUE>1</VALUE>"),
        ),
    ]
)
_MANY = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class TestAnythingAtAll:
    """Whatever comes, a reply goes out, and never a failure of ours."""

    @_MANY
    @given(st.binary(max_size=300))
    def test_bytes(self, server: CimXmlServer, body: bytes) -> None:
        assert post(server, body).status in (400, 501)

    @_MANY
    @given(st.data())
    def test_broken_requests(self, server: CimXmlServer, data: st.DataObject) -> None:
        body = data.draw(_REQUESTS)
        for _ in range(data.draw(st.integers(1, 4))):
            begin = data.draw(st.integers(0, len(body)))
            end = data.draw(st.integers(begin, min(len(body), begin + 30)))
            body = body[:begin] + data.draw(_PARTS | st.text(max_size=5)) + body[end:]
        reply = post(server, body.encode(errors="surrogatepass"))
        assert reply.status in (200, 400, 501)
        if reply.status == 200:
            assert error_of(reply) != 1

    @_MANY
    @given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=10))
    def test_headers(self, server: CimXmlServer, method: str, target: str, version: str) -> None:
        headers = {"CIMMethod": method, "CIMObject": target, "CIMProtocolVersion": version}
        assert post(server, NAMES, **headers).status in (400, 501)
