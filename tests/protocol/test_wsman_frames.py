"""The WS-Management engine, bytes in and bytes out, driven by pypsrp's own requests."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import NAMESPACES, WSManAction

from fakes.guards import OpenGuard
from fakes.widgets import SCHEMA, Widgets
from fakes.wsman_client import (
    DMTF,
    MS,
    WIDGET,
    FrameClient,
    element,
    enumerate_body,
    options,
    pull_body,
    selectors,
    values_of,
)
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.frontends.wsman.service import Service

CALLER = Caller("admin", "127.0.0.1", "administrator")
KEYS = selectors(Name="one", Slot=1)
WSEN, WSMAN, CIM = NAMESPACES["wsen"], NAMESPACES["wsman"], NAMESPACES["cim"]
RELEASE = f"{WSEN}/Release"


@pytest.fixture
def widgets() -> Widgets:
    widgets = Widgets()
    widgets.add("One", 1, Text="", Enabled=True, Offset=-1, Weight=0.5, Octets=[0, 255])
    return widgets


@pytest.fixture
def service(widgets: Widgets) -> Service:
    return Service(
        Namespaces([ObjectManager(SCHEMA, {"Test_Widget": widgets}, OpenGuard())]), "1.2.3"
    )


@pytest.fixture
def client(service: Service) -> FrameClient:
    return FrameClient(lambda data: service.handle(CALLER, data))


def many(widgets: Widgets, count: int) -> None:
    for number in range(2, count + 1):
        widgets.add(f"w{number}", number, Text="even" if number % 2 == 0 else "odd")


def fault(client: FrameClient) -> tuple[str, str]:
    """Subcode and fault detail of the last reply."""
    root = ET.fromstring(client.received)
    subcode = root.findtext(".//s:Subcode/s:Value", "", NAMESPACES)
    detail = root.findtext(".//wsman:FaultDetail", "", NAMESPACES)
    return subcode, detail.rpartition("/")[2]


def cim_status(client: FrameClient) -> str:
    return ET.fromstring(client.received).findtext(".//{*}CIMStatusCode", "")


class TestGet:
    def test_every_property_in_order_with_its_shape(self, client: FrameClient) -> None:
        body = client.get(WIDGET, selector_set=KEYS)
        (instance,) = body
        assert instance.tag == f"{{{WIDGET}}}Test_Widget"
        assert values_of(instance) == {
            "Name": "One",
            "Slot": "1",
            "Text": "",
            "Enabled": "true",
            "Offset": "-1",
            "Serial": "18446744073709551615",
            "Weight": "0.5",
            "Made": None,
            "Lasts": None,
            "Tags": None,
            "Octets": ["0", "255"],
        }
        assert b'xsi:type="p:Test_Widget_Type"' in client.received

    def test_the_namespace_is_that_of_the_request(self, client: FrameClient) -> None:
        uri = f"{DMTF}Test_Widget"
        keys = selectors(name="ONE", SLOT=1, __cimnamespace="ROOT\\cimv2\\rdms")
        (instance,) = client.get(uri, selector_set=keys)
        assert instance.tag == f"{{{uri}}}Test_Widget"
        (again,) = client.get(uri, selector_set=KEYS)
        assert values_of(again) == values_of(instance)

    @pytest.mark.parametrize(
        ("keys", "detail", "code"),
        [
            ({}, "InsufficientSelectors", 2150859002),
            ({"Name": "one"}, "InsufficientSelectors", 2150859002),
            ({"Name": "one", "Slot": 1, "Text": ""}, "UnexpectedSelectors", 2150858843),
            ({"Name": "one", "Slot": 1, "NAME": "x"}, "DuplicateSelectors", 2150858847),
            ({"Name": "one", "Slot": "x"}, "TypeMismatch", 2150858844),
            (
                {"Name": "one", "Slot": 1, "__cimnamespace": "root/cimv2"},
                "UnexpectedSelectors",
                2150858843,
            ),
        ],
    )
    def test_wrong_selectors(
        self, client: FrameClient, keys: dict[str, object], detail: str, code: int
    ) -> None:
        with pytest.raises(WSManFaultError) as caught:
            client.get(WIDGET, selector_set=selectors(**keys))
        assert caught.value.code == code
        assert fault(client) == ("w:InvalidSelectors", detail)

    def test_an_instance_that_is_not_there(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError) as caught:
            client.get(WIDGET, selector_set=selectors(Name="two", Slot=1))
        assert caught.value.code == 2150858752
        assert "0x80041002" in caught.value.reason
        assert fault(client)[0] == "a:DestinationUnreachable"
        assert cim_status(client) == "6"

    @pytest.mark.parametrize(
        ("uri", "status"),
        [
            (f"{MS}Test_Gadget", "5"),
            ("http://schemas.microsoft.com/wbem/wsman/1/wmi/root/other/Test_Widget", "3"),
            ("http://schemas.microsoft.com/wbem/wsman/1/config", ""),
            (f"{MS}", ""),
            (f"{DMTF}", ""),
        ],
    )
    def test_unknown_resources(self, client: FrameClient, uri: str, status: str) -> None:
        with pytest.raises(WSManFaultError) as caught:
            client.get(uri, selector_set=KEYS)
        assert caught.value.code == 2150858811
        assert fault(client) == ("a:DestinationUnreachable", "InvalidResourceURI")
        assert cim_status(client) == status

    def test_a_class_that_offers_nothing(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError, match="Test_Silent: Get is not supported"):
            client.get(f"{MS}Test_Silent", selector_set=selectors(Name="x"))
        assert cim_status(client) == "7"


class TestPut:
    def test_absent_stays_nil_clears_and_values_are_set(
        self, client: FrameClient, widgets: Widgets
    ) -> None:
        changes = {
            "Text": "a < b & c\n",
            "Enabled": None,
            "Octets": [1, 2, 3],
            "Tags": ["x", None, ""],
            "Made": "2026-01-02T03:04:05Z",
            "Lasts": "PT90S",
        }
        (instance,) = client.put(WIDGET, element(WIDGET, "Test_Widget", changes), None, KEYS)
        found = values_of(instance)
        assert found["Text"] == "a < b & c\n"
        assert found["Enabled"] is None
        assert found["Offset"] == "-1"
        assert found["Octets"] == ["1", "2", "3"]
        assert found["Tags"] == ["x", None, ""]
        assert found["Made"] == "2026-01-02T03:04:05Z"
        assert found["Lasts"] == "P0DT0H1M30S"
        assert instance.find(f"{{{WIDGET}}}Made/{{{CIM}}}Datetime") is not None
        assert instance.find(f"{{{WIDGET}}}Lasts/{{{CIM}}}Interval") is not None

    def test_what_get_gave_can_be_put(self, client: FrameClient) -> None:
        (instance,) = client.get(WIDGET, selector_set=KEYS)
        (again,) = client.put(WIDGET, instance, None, KEYS)
        assert values_of(again) == values_of(instance)

    @pytest.mark.parametrize(
        ("changes", "subcode"),
        [
            ({"Serial": 5}, "w:InvalidParameter"),
            ({"Name": "other"}, "w:InvalidParameter"),
            ({"Colour": "red"}, "w:InvalidParameter"),
            ({"Offset": 2**31}, "w:SchemaValidationError"),
            ({"Enabled": "perhaps"}, "w:SchemaValidationError"),
            ({"Text": ["two", "texts"]}, "w:SchemaValidationError"),
        ],
    )
    def test_what_cannot_be_put(
        self, client: FrameClient, changes: dict[str, object], subcode: str
    ) -> None:
        with pytest.raises(WSManFaultError):
            client.put(WIDGET, element(WIDGET, "Test_Widget", changes), None, KEYS)
        assert fault(client)[0] == subcode

    @pytest.mark.parametrize(
        "body",
        [None, element(WIDGET, "Test_Gadget"), element("urn:other", "Test_Widget")],
        ids=["none", "other class", "other namespace"],
    )
    def test_a_wrong_representation(self, client: FrameClient, body: ET.Element | None) -> None:
        with pytest.raises(WSManFaultError):
            client.put(WIDGET, body, None, KEYS)
        assert fault(client)[0] == "x:InvalidRepresentation"


class TestCreateAndDelete:
    def test_the_reference_leads_to_the_instance(self, client: FrameClient) -> None:
        values = {"Name": "new & shiny", "Slot": 7, "Text": "x"}
        (created,) = client.create(WIDGET, element(WIDGET, "Test_Widget", values))
        assert created.tag == f"{{{NAMESPACES['wst']}}}ResourceCreated"
        found = {item.get("Name"): item.text for item in created.iter(f"{{{WSMAN}}}Selector")}
        assert found == {"Name": "new & shiny", "Slot": "7", "__cimnamespace": "root/cimv2/rdms"}
        uri = created.findtext(f".//{{{WSMAN}}}ResourceURI", "")
        keys = selectors(**{str(name): value for name, value in found.items()})
        (instance,) = client.get(uri, selector_set=keys)
        assert values_of(instance)["Text"] == "x"
        assert len(client.delete(uri, selector_set=keys)) == 0
        with pytest.raises(WSManFaultError):
            client.delete(uri, selector_set=keys)
        assert cim_status(client) == "6"

    def test_a_taken_name(self, client: FrameClient) -> None:
        body = element(WIDGET, "Test_Widget", {"Name": "one", "Slot": 1})
        with pytest.raises(WSManFaultError) as caught:
            client.create(WIDGET, body)
        assert caught.value.code == 0x80041019
        assert fault(client)[0] == "w:AlreadyExists"
        assert cim_status(client) == "11"


class TestInvoke:
    def test_static(self, client: FrameClient) -> None:
        reply = client.invoke(
            f"{WIDGET}/Add", WIDGET, element(WIDGET, "Add_INPUT", {"Left": 2, "Right": 3})
        )
        (output,) = reply.find("s:Body", NAMESPACES)
        assert output.tag == f"{{{WIDGET}}}Add_OUTPUT"
        assert list(values_of(output).items()) == [("Sum", "5"), ("ReturnValue", "0")]
        action = reply.findtext("s:Header/wsa:Action", "", NAMESPACES)
        assert action == f"{WIDGET}/AddResponse"

    def test_static_with_keys_and_in_the_other_family(self, client: FrameClient) -> None:
        uri = f"{DMTF}Test_Widget"
        body = element(uri, "Add_INPUT", {"Left": 2, "Right": 3})
        reply = client.invoke(f"{uri}/Add", uri, body, selector_set=KEYS)
        assert reply.findtext(f".//{{{uri}}}Sum") == "5"

    def test_instance(self, client: FrameClient) -> None:
        body = element(WIDGET, "Rename_INPUT", {"Text": "later"})
        reply = client.invoke(f"{WIDGET}/Rename", WIDGET, body, selector_set=KEYS)
        assert reply.findtext(f".//{{{WIDGET}}}Before") == ""
        (instance,) = client.get(WIDGET, selector_set=KEYS)
        assert values_of(instance)["Text"] == "later"

    def test_instance_without_keys(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError):
            client.invoke(f"{WIDGET}/Rename", WIDGET, element(WIDGET, "Rename_INPUT", {"Text": ""}))
        assert fault(client) == ("w:InvalidSelectors", "InsufficientSelectors")

    def test_arrays_nulls_and_datetimes_go_both_ways(self, client: FrameClient) -> None:
        given = {"Text": None, "Tags": ["a", "b"], "When": "2026-01-02T03:04:05.5+01:00"}
        reply = client.invoke(f"{WIDGET}/Echo", WIDGET, element(WIDGET, "Echo_INPUT", given))
        (output,) = reply.find("s:Body", NAMESPACES)
        assert values_of(output) == {
            "TextOut": None,
            "TagsOut": ["a", "b"],
            "WhenOut": "2026-01-02T02:04:05.5Z",
            "ReturnValue": "0",
        }

    def test_an_empty_array_is_no_element(self, client: FrameClient) -> None:
        given = {"Text": "", "When": "PT1S"}
        reply = client.invoke(f"{WIDGET}/Echo", WIDGET, element(WIDGET, "Echo_INPUT", given))
        (output,) = reply.find("s:Body", NAMESPACES)
        assert values_of(output) == {"TextOut": "", "WhenOut": "P0DT0H0M1S", "ReturnValue": "0"}

    @pytest.mark.parametrize("body", [None, element(WIDGET, "Refuse_INPUT")])
    def test_a_refusal_is_a_reply_with_a_reason(
        self, client: FrameClient, body: ET.Element | None
    ) -> None:
        reply = client.invoke(f"{WIDGET}/Refuse", WIDGET, body)
        assert reply.findtext(f".//{{{WIDGET}}}ReturnValue") == "2147749896"
        reason = reply.find("s:Header/{urn:openrdms:reason}Reason", NAMESPACES)
        assert (reason.text, reason.get("Code")) == ("not like <this> & that", "NotAsAsked")

    def test_the_providers_code_reaches_the_client(self, client: FrameClient) -> None:
        body = element(WIDGET, "ReadKey_INPUT", {"Key": "Colour"})
        with pytest.raises(WSManFaultError, match="Colour was never set") as caught:
            client.invoke(f"{WIDGET}/ReadKey", WIDGET, body)
        assert caught.value.code == 0x80041002
        assert cim_status(client) == "6"

    @pytest.mark.parametrize(
        ("method", "values", "expected"),
        [
            ("Jump", {}, ("a:ActionNotSupported", "")),
            ("Add", {"Left": 1}, ("w:InvalidParameter", "MissingValues")),
            (
                "Add",
                {"Left": 1, "Right": 1, "Middle": 1},
                ("w:InvalidParameter", "InvalidName"),
            ),
            ("Add", {"Left": 1, "Right": "one"}, ("w:SchemaValidationError", "")),
            ("Add", {"Left": 1, "Right": 2**32}, ("w:SchemaValidationError", "")),
            ("Add", {"Left": 1, "Right": [2, 3]}, ("w:SchemaValidationError", "")),
        ],
    )
    def test_wrong_calls(
        self,
        client: FrameClient,
        widgets: Widgets,
        method: str,
        values: dict[str, object],
        expected: tuple[str, str],
    ) -> None:
        body = element(WIDGET, f"{method}_INPUT", values)
        with pytest.raises(WSManFaultError):
            client.invoke(f"{WIDGET}/{method}", WIDGET, body)
        assert fault(client) == expected
        assert widgets.calls == 0

    def test_the_body_must_be_the_methods(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError):
            client.invoke(f"{WIDGET}/Add", WIDGET, element(WIDGET, "Echo_INPUT"))
        assert fault(client) == ("a:ActionNotSupported", "ActionMismatch")

    def test_the_action_must_be_the_resources(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError):
            client.invoke("urn:something/Add", WIDGET, element(WIDGET, "Add_INPUT"))
        assert fault(client)[0] == "a:ActionNotSupported"

    def test_a_child_element_is_no_text(self, client: FrameClient) -> None:
        body = element(WIDGET, "ReadKey_INPUT", {"Key": ""})
        ET.SubElement(body[0], "Job")
        with pytest.raises(WSManFaultError, match="Key has the child element Job"):
            client.invoke(f"{WIDGET}/ReadKey", WIDGET, body)

    def test_a_crash_tells_nothing(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError) as caught:
            client.invoke(f"{WIDGET}/Crash", WIDGET, None)
        assert fault(client)[0] == "w:InternalError"
        assert b"secret" not in client.received
        assert b"ZeroDivision" not in client.received
        assert caught.value.code == 2150858755


class TestEnvelopeSize:
    def call(self, client: FrameClient, length: int) -> ET.Element:
        body = element(WIDGET, "Large_INPUT", {"Length": length})
        return client.invoke(f"{WIDGET}/Large", WIDGET, body)

    def test_the_fault_says_which_size_would_do(self, service: Service) -> None:
        client = FrameClient(lambda data: service.handle(CALLER, data), 10_000)
        with pytest.raises(WSManFaultError) as caught:
            self.call(client, 20_000)
        assert fault(client) == ("w:EncodingLimit", "MaxEnvelopeSizeExceeded")
        needed = int("".join(filter(str.isdigit, str(caught.value.reason))))
        client.max_envelope_size = needed
        self.call(client, 20_000)
        assert len(client.received) == needed

    def test_octets_count_not_characters(self, client: FrameClient, widgets: Widgets) -> None:
        widgets.add("euro", 5, Text="\u20ac" * 3000)
        keys = selectors(Name="euro", Slot=5)
        client.max_envelope_size = 9000
        with pytest.raises(WSManFaultError):
            client.get(WIDGET, selector_set=keys)
        assert fault(client) == ("w:EncodingLimit", "MaxEnvelopeSizeExceeded")
        client.max_envelope_size = 12_000
        (instance,) = client.get(WIDGET, selector_set=keys)
        assert values_of(instance)["Text"] == "\u20ac" * 3000

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            (8191, ("w:EncodingLimit", "MinimumEnvelopeLimit")),
            ("much", ("a:InvalidMessageInformationHeader", "")),
            ("-5", ("a:InvalidMessageInformationHeader", "")),
            ("9" * 30, ("a:InvalidMessageInformationHeader", "")),
        ],
    )
    def test_sizes_that_are_none(
        self, client: FrameClient, size: object, expected: tuple[str, str]
    ) -> None:
        client.max_envelope_size = size
        with pytest.raises(WSManFaultError):
            client.get(WIDGET, selector_set=KEYS)
        assert fault(client) == expected


class TestEnumerate:
    def pages(self, client: FrameClient, uri: str, body: ET.Element) -> Iterator[ET.Element]:
        """The first reply's element, then that of every pull, checking the contexts."""
        (page,) = client.enumerate(uri, body)
        seen: set[str] = set()
        yield page
        while context := page.findtext(f"{{{WSEN}}}EnumerationContext"):
            assert context.startswith("uuid:")
            assert context not in seen
            seen.add(context)
            (page,) = client.pull(uri, pull_body(context, 4))
            yield page

    def test_optimised_shapes(self, client: FrameClient, widgets: Widgets) -> None:
        many(widgets, 10)
        first, second, last = self.pages(client, WIDGET, enumerate_body(max_elements=4))
        assert [child.tag for child in first] == [
            f"{{{WSEN}}}EnumerationContext",
            f"{{{WSMAN}}}Items",
        ]
        assert [child.tag for child in second] == [
            f"{{{WSEN}}}EnumerationContext",
            f"{{{WSEN}}}Items",
        ]
        assert [child.tag for child in last] == [f"{{{WSEN}}}Items", f"{{{WSEN}}}EndOfSequence"]
        assert [len(page.find("{*}Items")) for page in (first, second, last)] == [4, 4, 2]

    def test_finished_at_once(self, client: FrameClient) -> None:
        (reply,) = client.enumerate(WIDGET, enumerate_body(max_elements=100))
        assert [child.tag for child in reply] == [
            f"{{{WSEN}}}EnumerationContext",
            f"{{{WSMAN}}}Items",
            f"{{{WSMAN}}}EndOfSequence",
        ]
        assert not reply[0].text
        assert reply[1][0].tag == f"{{{WIDGET}}}Test_Widget"

    def test_nothing_to_give(self, client: FrameClient) -> None:
        body = enumerate_body(wql="SELECT * FROM Test_Widget WHERE Slot = 99", max_elements=5)
        (reply,) = client.enumerate(WIDGET, body)
        assert [child.tag.rpartition("}")[2] for child in reply] == [
            "EnumerationContext",
            "Items",
            "EndOfSequence",
        ]
        assert len(reply[1]) == 0

    def test_not_optimised(self, client: FrameClient, widgets: Widgets) -> None:
        many(widgets, 5)
        first, *rest = self.pages(client, WIDGET, enumerate_body(optimise=False))
        assert [child.tag for child in first] == [f"{{{WSEN}}}EnumerationContext"]
        assert [len(page.find("{*}Items")) for page in rest] == [4, 1]

    def test_one_item_unless_more_are_wanted(self, client: FrameClient, widgets: Widgets) -> None:
        many(widgets, 3)
        (reply,) = client.enumerate(WIDGET, enumerate_body())
        assert len(reply.find("{*}Items")) == 1

    def test_wql(self, client: FrameClient, widgets: Widgets) -> None:
        many(widgets, 10)
        wql = "select * from test_widget where text = 'EVEN' and slot > 4"
        (reply,) = client.enumerate(WIDGET, enumerate_body(wql=wql, max_elements=50))
        assert [values_of(item)["Slot"] for item in reply.find("{*}Items")] == ["6", "8", "10"]

    @pytest.mark.parametrize(
        "uri", [f"{MS}*", "http://schemas.dmtf.org/wbem/wscim/1/*", f"{DMTF}*"]
    )
    def test_wql_over_all_classes(self, client: FrameClient, uri: str) -> None:
        body = enumerate_body(wql="SELECT * FROM Test_Widget", max_elements=5)
        (reply,) = client.enumerate(uri, body)
        (item,) = reply.find("{*}Items")
        family = MS if uri.startswith(MS) else DMTF
        assert item.tag == f"{{{family}Test_Widget}}Test_Widget"

    def test_a_projection_is_a_fragment_in_microsofts_family(self, client: FrameClient) -> None:
        body = enumerate_body(wql="SELECT slot, Tags FROM Test_Widget", max_elements=5)
        (reply,) = client.enumerate(WIDGET, body)
        (item,) = reply.find("{*}Items")
        assert item.tag == f"{{{WSMAN}}}XmlFragment"
        assert [child.tag for child in item] == ["Slot", "Tags"]
        (reply,) = client.enumerate(f"{DMTF}Test_Widget", body)
        (item,) = reply.find("{*}Items")
        assert [child.tag.rpartition("}")[2] for child in item] == ["Slot", "Tags"]
        assert item.tag == f"{{{DMTF}Test_Widget}}Test_Widget"

    def test_references(self, client: FrameClient) -> None:
        (reply,) = client.enumerate(WIDGET, enumerate_body(mode="EnumerateEPR", max_elements=5))
        (item,) = reply.find("{*}Items")
        assert item.tag == f"{{{NAMESPACES['wsa']}}}EndpointReference"
        found = {e.get("Name"): e.text for e in item.iter(f"{{{WSMAN}}}Selector")}
        assert found == {"Name": "One", "Slot": "1", "__cimnamespace": "root/cimv2/rdms"}

    def test_objects_and_references(self, client: FrameClient) -> None:
        body = enumerate_body(mode="EnumerateObjectAndEPR", max_elements=5)
        (reply,) = client.enumerate(WIDGET, body)
        (item,) = reply.find("{*}Items")
        assert [child.tag for child in item] == [
            f"{{{WIDGET}}}Test_Widget",
            f"{{{NAMESPACES['wsa']}}}EndpointReference",
        ]

    def test_a_selector_filter_filters(self, client: FrameClient, widgets: Widgets) -> None:
        many(widgets, 6)
        body = enumerate_body(max_elements=50)
        dialect = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter"
        holder = ET.SubElement(body, f"{{{WSMAN}}}Filter", Dialect=dialect)
        holder.append(selectors(text="ODD").pack())
        (reply,) = client.enumerate(WIDGET, body)
        assert [values_of(item)["Slot"] for item in reply.find("{*}Items")] == ["3", "5"]

    def test_the_envelope_bounds_a_page(self, service: Service, widgets: Widgets) -> None:
        for number in range(40):
            widgets.add(f"big{number}", number, Text="x" * 1000)
        client = FrameClient(lambda data: service.handle(CALLER, data), 10_000)
        sizes = []
        for page in self.pages(client, WIDGET, enumerate_body(max_elements=1000)):
            assert len(client.received) <= 10_000
            sizes.append(len(page.find("{*}Items")))
        assert sum(sizes) == 41
        assert max(sizes) <= 8

    def test_one_item_over_the_envelope(self, service: Service, widgets: Widgets) -> None:
        widgets.add("huge", 9, Text="x" * 20_000)
        client = FrameClient(lambda data: service.handle(CALLER, data), 10_000)
        body = enumerate_body(wql="SELECT * FROM Test_Widget WHERE Slot=9", max_elements=9)
        with pytest.raises(WSManFaultError) as caught:
            client.enumerate(WIDGET, body)
        assert fault(client) == ("w:EncodingLimit", "MaxEnvelopeSizeExceeded")
        needed = int("".join(filter(str.isdigit, str(caught.value.reason))))
        client.max_envelope_size = needed
        (reply,) = client.enumerate(WIDGET, body)
        assert len(reply.find("{*}Items")) == 1

    def test_release(self, client: FrameClient, widgets: Widgets) -> None:
        many(widgets, 5)
        (reply,) = client.enumerate(WIDGET, enumerate_body())
        context = reply.findtext(f"{{{WSEN}}}EnumerationContext", "")
        client.invoke(RELEASE, WIDGET, pull_body(context, name="Release"))
        for action in (WSManAction.PULL, RELEASE):
            name = action.rpartition("/")[2]
            with pytest.raises(WSManFaultError) as caught:
                client.invoke(action, WIDGET, pull_body(context, name=name))
            assert caught.value.code == 2150858779
            assert fault(client)[0] == "n:InvalidEnumerationContext"
            assert cim_status(client) == "21"

    def test_a_context_is_its_callers(
        self, client: FrameClient, service: Service, widgets: Widgets
    ) -> None:
        many(widgets, 5)
        (reply,) = client.enumerate(WIDGET, enumerate_body())
        context = reply.findtext(f"{{{WSEN}}}EnumerationContext", "")
        stranger = FrameClient(
            lambda data: service.handle(Caller("other", "", "administrator"), data)
        )
        with pytest.raises(WSManFaultError):
            stranger.pull(WIDGET, pull_body(context))
        client.pull(WIDGET, pull_body(context))

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (
                enumerate_body(wql="SELECT * FROM Test_Widget WHERE"),
                ("n:CannotProcessFilter", ""),
            ),
            (enumerate_body(wql="SELECT * FROM Test_Silent"), ("n:CannotProcessFilter", "")),
            (
                enumerate_body(wql="/x", dialect="http://www.w3.org/TR/1999/REC-xpath-19991116"),
                ("n:FilterDialectRequestedUnavailable", ""),
            ),
            (
                enumerate_body(
                    wql="x",
                    dialect="http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter",
                ),
                ("n:CannotProcessFilter", ""),
            ),
            (enumerate_body(mode="EnumerateNothing"), ("w:UnsupportedFeature", "EnumerationMode")),
            (enumerate_body(max_elements=0), ("w:SchemaValidationError", "")),
            (pull_body("uuid:x"), ("a:ActionNotSupported", "ActionMismatch")),
        ],
    )
    def test_what_cannot_be_enumerated(
        self, client: FrameClient, body: ET.Element, expected: tuple[str, str]
    ) -> None:
        with pytest.raises(WSManFaultError):
            client.enumerate(WIDGET, body)
        assert fault(client) == expected

    @pytest.mark.parametrize("kind", ["AssociatedInstances", "AssociationInstances"])
    def test_nothing_is_associated(self, client: FrameClient, kind: str) -> None:
        def ask(uri: str) -> ET.Element:
            body = enumerate_body(
                wql=" ",
                dialect="http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter",
            )
            binding = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
            asked = ET.SubElement(body.find(f"{{{WSMAN}}}Filter"), f"{{{binding}}}{kind}")
            wsa = NAMESPACES["wsa"]
            reference = ET.SubElement(asked, f"{{{binding}}}Object")
            ET.SubElement(reference, f"{{{wsa}}}Address").text = "http://x/wsman"
            parameters = ET.SubElement(reference, f"{{{wsa}}}ReferenceParameters")
            ET.SubElement(parameters, f"{{{WSMAN}}}ResourceURI").text = uri
            parameters.append(KEYS.pack())
            (reply,) = client.enumerate("http://schemas.dmtf.org/wbem/wscim/1/*", body)
            return reply

        reply = ask(f"{DMTF}Test_Widget")
        assert len(reply.find(f"{{{WSMAN}}}Items")) == 0
        assert reply.find(f"{{{WSMAN}}}EndOfSequence") is not None
        with pytest.raises(WSManFaultError):
            ask(f"{DMTF}Test_Gadget")
        assert cim_status(client) == "5"

    def test_an_estimate_only_when_asked(self, client: FrameClient) -> None:
        client.enumerate(WIDGET, enumerate_body())
        assert b"Estimate" not in client.received
        wish = ET.Element(f"{{{WSMAN}}}RequestTotalItemsCountEstimate")
        create_header = client._create_header

        def with_wish(*arguments: object, **named: object) -> tuple[object, ET.Element]:
            identifier, header = create_header(*arguments, **named)
            header.append(wish)
            return identifier, header

        client._create_header = with_wish
        client.enumerate(WIDGET, enumerate_body())
        assert b'TotalItemsCountEstimate xsi:nil="true"' in client.received

    def test_all_classes_need_a_query(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError):
            client.enumerate(f"{MS}*", enumerate_body())
        assert fault(client) == ("w:UnsupportedFeature", "FilteringRequired")

    def test_key_selectors_are_not_ignored(self, client: FrameClient) -> None:
        with pytest.raises(WSManFaultError):
            client.enumerate(WIDGET, enumerate_body(), selector_set=KEYS)

    def test_an_unknown_polymorphism_mode(self, client: FrameClient) -> None:
        body = enumerate_body()
        binding = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
        ET.SubElement(body, f"{{{binding}}}PolymorphismMode").text = "Sometimes"
        with pytest.raises(WSManFaultError):
            client.enumerate(WIDGET, body)
        assert fault(client)[0] == "b:PolymorphismModeNotSupported"


class TestOptions:
    def test_unknown_options_are_ignored(self, client: FrameClient) -> None:
        client.get(WIDGET, option_set=options("wmi:__MI_X", "1"), selector_set=KEYS)

    def test_unless_they_must_be_kept(self, client: FrameClient) -> None:
        must = options("X", "1", MustComply="true")
        with pytest.raises(WSManFaultError):
            client.get(WIDGET, option_set=must, selector_set=KEYS)
        assert fault(client)[0] == "w:InvalidOptions"
