"""Namespaces and the class schema over WS-Management, read by pypsrp and pywbem."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

import pytest
from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import NAMESPACES, OptionSet
from pywbem._tupleparse import TupleParser
from pywbem._tupletree import xml_to_tupletree_sax

from fakes.guards import OpenGuard
from fakes.widgets import SCHEMA, WIDGET, Widgets
from fakes.wsman_client import DMTF, MS, FrameClient, enumerate_body, pull_body, selectors
from openrdms.cim import mof
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.cim.schema import Schema
from openrdms.frontends.wsman.service import Service
from openrdms.providers.schema import load_rdms

CALLER = Caller("admin", "127.0.0.1", "administrator")
CLASSES = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*"
WSEN, WSMAN = NAMESPACES["wsen"], NAMESPACES["wsman"]
OTHER = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/other/Test_Widget"
INTEROP = mof.parse_schema("root/interop", "class Test_Few { [Key] string Name; };")


@pytest.fixture
def namespaces() -> Namespaces:
    first, second = Widgets(), Widgets()
    first.add("One", 1, Text="first")
    second.add("One", 1, Text="second")
    other = Schema("root/other", SCHEMA.classes)
    rdms = Schema("root/cimv2/rdms", (*SCHEMA.classes, *load_rdms().classes))
    return Namespaces(
        [
            ObjectManager(rdms, {"Test_Widget": first}, OpenGuard()),
            ObjectManager(other, {"Test_Widget": second}, OpenGuard()),
            ObjectManager(INTEROP, {}, OpenGuard()),
        ],
        aliases={"interop": "root/interop"},
    )


@pytest.fixture
def client(namespaces: Namespaces) -> FrameClient:
    service = Service(namespaces, "1.2.3")
    return FrameClient(lambda data: service.handle(CALLER, data))


def fault(client: FrameClient) -> tuple[str, str]:
    root = ET.fromstring(client.received)
    subcode = root.findtext(".//s:Subcode/s:Value", "", NAMESPACES)
    detail = root.findtext(".//wsman:FaultDetail", "", NAMESPACES)
    return subcode, detail.rpartition("/")[2]


def include(**chosen: str) -> OptionSet:
    """Options as PowerShell sends them."""
    options = OptionSet()
    for name, value in chosen.items():
        options.add_option(f"Include{name}", value, {"Type": "xs:boolean"})
    return options


def parse_class(element: ET.Element) -> Any:
    return TupleParser().parse_any(xml_to_tupletree_sax(ET.tostring(element), "test"))


def text_of(client: FrameClient, uri: str, **keys: object) -> str | None:
    (instance,) = client.get(uri, selector_set=selectors(Name="one", Slot=1, **keys))
    return instance.findtext("{*}Text")


class TestNamespaces:
    @pytest.mark.parametrize(
        ("uri", "keys", "text"),
        [
            (f"{MS}Test_Widget", {}, "first"),
            (OTHER, {}, "second"),
            (OTHER.replace("root/other", "ROOT/Other"), {}, "second"),
            (OTHER, {"__cimnamespace": "root\\other"}, "second"),
            (f"{DMTF}Test_Widget", {}, "first"),
            (f"{DMTF}Test_Widget", {"__cimnamespace": "root/other"}, "second"),
            (f"{DMTF}Test_Widget", {"__CIMNAMESPACE": "\\ROOT\\CIMv2\\RDMS"}, "first"),
        ],
    )
    def test_either_family_finds_its_namespace(
        self, client: FrameClient, uri: str, keys: Mapping[str, object], text: str
    ) -> None:
        assert text_of(client, uri, **keys) == text

    @pytest.mark.parametrize(
        ("uri", "keys", "expected"),
        [
            (OTHER.replace("other", "none"), {}, "InvalidResourceURI"),
            (f"{DMTF}Test_Widget", {"__cimnamespace": "root"}, "InvalidResourceURI"),
            (OTHER, {"__cimnamespace": "root/cimv2/rdms"}, "UnexpectedSelectors"),
        ],
    )
    def test_what_is_no_namespace(
        self, client: FrameClient, uri: str, keys: Mapping[str, object], expected: str
    ) -> None:
        with pytest.raises(WSManFaultError):
            text_of(client, uri, **keys)
        assert fault(client)[1] == expected

    def test_a_context_belongs_to_its_namespace(self, client: FrameClient) -> None:
        (reply,) = client.enumerate(OTHER, enumerate_body(optimise=False))
        context = reply.findtext(f"{{{WSEN}}}EnumerationContext")
        with pytest.raises(WSManFaultError):
            client.pull(f"{MS}Test_Widget", pull_body(context))
        assert fault(client)[0] == "n:InvalidEnumerationContext"
        client.pull(OTHER, pull_body(context))

    def test_aliases(self, namespaces: Namespaces) -> None:
        assert namespaces.get("INTEROP/") is namespaces.get("/root/interop")
        assert namespaces.names == ("root/cimv2/rdms", "root/other", "root/interop")


class TestClassSchema:
    def get(
        self, client: FrameClient, name: str, namespace: str = "root/cimv2/rdms", **chosen: str
    ) -> ET.Element:
        keys = selectors(__cimnamespace=namespace, ClassName=name)
        (found,) = client.get(CLASSES, selector_set=keys, option_set=include(**chosen))
        return found

    def test_a_class_is_what_was_declared(self, client: FrameClient) -> None:
        element = self.get(client, "test_WIDGET", Qualifiers="true", ClassOrigin="true")
        assert element.tag == "CLASS"
        found = parse_class(element)
        assert [(p.name, p.type, bool(p.is_array)) for p in found.properties.values()] == [
            (p.name, p.type, p.array) for p in WIDGET.properties
        ]
        assert [list(m.parameters) for m in found.methods.values()] == [
            [item.name for item in m.parameters] for m in WIDGET.methods
        ]
        assert found.properties["Name"].qualifiers["Key"].value is True
        assert found.methods["Add"].qualifiers["Static"].value is True
        assert found.properties["Name"].class_origin == "Test_Widget"

    def test_what_is_not_asked_for_is_left_out(self, client: FrameClient) -> None:
        element = self.get(client, "Test_Widget", Qualifiers="FALSE", InheritedElements="true")
        assert element.find(".//QUALIFIER") is None
        assert element.find("PROPERTY").keys() == ["NAME", "TYPE"]

    def test_a_client_may_insist_on_the_options(self, client: FrameClient) -> None:
        options = OptionSet()
        options.add_option("IncludeQualifiers", "true", {"MustComply": "true"})
        keys = selectors(ClassName="Test_Widget")
        (found,) = client.get(CLASSES, selector_set=keys, option_set=options)
        assert found.find(".//QUALIFIER") is not None

    def test_one_class_can_be_enumerated_too(self, client: FrameClient) -> None:
        keys = selectors(__cimnamespace="root/interop", ClassName="Test_Few")
        (reply,) = client.enumerate(CLASSES, enumerate_body(), selector_set=keys)
        assert [item.get("NAME") for item in reply.find(f"{{{WSMAN}}}Items")] == ["Test_Few"]
        assert reply.find(f"{{{WSMAN}}}EndOfSequence") is not None

    @pytest.mark.parametrize("keys", [{}, {"ClassName": ""}, {"ClassName": "*"}])
    def test_all_classes_in_pages(self, client: FrameClient, keys: dict[str, object]) -> None:
        chosen = selectors(__cimnamespace="root/cimv2/rdms", **keys)
        body = enumerate_body(max_elements=4)
        (reply,) = client.enumerate(CLASSES, body, selector_set=chosen)
        found = [item.get("NAME") for item in reply.find(f"{{{WSMAN}}}Items")]
        while context := reply.findtext(f"{{{WSEN}}}EnumerationContext"):
            (reply,) = client.pull(CLASSES, pull_body(context, 4), selector_set=chosen)
            page = [item.get("NAME") for item in reply.find(f"{{{WSEN}}}Items")]
            assert len(page) <= 4
            found += page
        assert found == [item.name for item in (*SCHEMA.classes, *load_rdms().classes)]

    def test_an_unknown_class(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError):
            self.get(client, "Test_Gadget")
        assert fault(client) == ("a:DestinationUnreachable", "InvalidResourceURI")
        assert ET.fromstring(client.received).findtext(".//{*}CIMStatusCode") == "5"
        with pytest.raises(WSManFaultError):
            self.get(client, "Test_Few")

    def test_get_needs_a_name_and_nothing_else(self, client: FrameClient) -> None:
        for keys, detail in (
            ({}, "InsufficientSelectors"),
            ({"ClassName": "Test_Widget", "Name": "x"}, "UnexpectedSelectors"),
        ):
            with pytest.raises(WSManFaultError):
                client.get(CLASSES, selector_set=selectors(**keys))
            assert fault(client) == ("w:InvalidSelectors", detail)

    def test_it_cannot_be_changed(self, client: FrameClient) -> None:
        keys = selectors(ClassName="Test_Widget")
        for act in (
            lambda: client.delete(CLASSES, selector_set=keys),
            lambda: client.put(CLASSES, ET.Element("CLASS"), selector_set=keys),
            lambda: client.create(CLASSES, ET.Element("CLASS"), selector_set=keys),
            lambda: client.invoke(f"{CLASSES}/Add", CLASSES, ET.Element("Add_INPUT")),
        ):
            with pytest.raises(WSManFaultError):
                act()
            assert fault(client)[0] == "a:ActionNotSupported"
