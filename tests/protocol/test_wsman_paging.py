"""Enumerations larger than a reply: lazy, within the client's limits, never all in memory."""

import re
import resource
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import NAMESPACES

from fakes.guards import OpenGuard
from fakes.widgets import NAMESPACE
from fakes.wsman_client import (
    MS,
    SELECTOR_FILTER,
    FrameClient,
    enumerate_body,
    pull_body,
    selectors,
)
from openrdms.cim import mof
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.guard import Operation
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller, Provider
from openrdms.cim.types import CimInstance, CimScalar
from openrdms.frontends.wsman.service import Service

CALLER = Caller("admin", "127.0.0.1", "administrator")
GRAIN = f"{MS}Test_Grain"
WSEN = NAMESPACES["wsen"]
SCHEMA = mof.parse_schema(
    NAMESPACE,
    """class Test_Grain {
        [Key] uint32 Number; string Text; string Collection; uint32 State; boolean On;
        string A; string B; string C; uint32 D; string E;
    };""",
)


class Grains(Provider):
    """``count`` instances that exist only while they are read; ``made`` counts them."""

    cim_class = "Test_Grain"

    def __init__(self, count: int, text: str = "grain") -> None:
        self.count, self.text = count, text
        self.made = 0
        self.breaks_at = -1
        self.where: Mapping[str, CimScalar] = {}

    def enumerate(self, caller: Caller, where: Mapping[str, CimScalar]) -> Iterator[CimInstance]:
        self.where = where
        for number in range(self.count):
            if number == self.breaks_at:
                raise CimError(CimStatus.FAILED, "the records are gone", wbem=0x80041001)
            self.made += 1
            yield CimInstance(self.cim_class, grain(number, self.text))


def grain(number: int, text: str) -> dict[str, str | int | bool | None]:
    return {
        "Number": number,
        "Text": f"{text}{number}",
        "Collection": "pool",
        "State": number % 3,
        "On": True,
        "A": "some words",
        "B": "",
        "C": None,
        "D": 7,
        "E": "desktop-000123.example.org",
    }


class Doorkeeper(OpenGuard):
    """Lets in until told otherwise."""

    closed = False

    def watch(self, caller: Caller, operation: Operation):
        if self.closed:
            raise CimError(CimStatus.ACCESS_DENIED, "not any more", wbem=0x80041003)
        return super().watch(caller, operation)


def make_client(grains: Grains, guard: OpenGuard | None = None) -> FrameClient:
    manager = ObjectManager(SCHEMA, {"Test_Grain": grains}, guard or OpenGuard())
    service = Service(Namespaces([manager]), "1")
    return FrameClient(lambda data: service.handle(CALLER, data))


def fault(client: FrameClient) -> tuple[str, str]:
    root = ET.fromstring(client.received)
    subcode = root.findtext(".//s:Subcode/s:Value", "", NAMESPACES)
    return subcode, root.findtext(".//wsman:FaultDetail", "", NAMESPACES).rpartition("/")[2]


def numbers_of(client: FrameClient) -> list[int]:
    return [int(text) for text in re.findall(rb"<p:Number>(\d+)<", client.received)]


def read_all(client: FrameClient, body: ET.Element, count: int = 100) -> Iterator[list[int]]:
    """Numbers of every page; the context is cut out by hand, since a million would take long."""
    client.enumerate(GRAIN, body)
    while True:
        yield numbers_of(client)
        found = re.search(rb"EnumerationContext>(uuid:[^<]+)<", client.received)
        if found is None:
            return
        client.pull(GRAIN, pull_body(found[1].decode(), count))


def test_no_more_is_read_than_is_sent() -> None:
    grains = Grains(1000)
    client = make_client(grains)
    pages = read_all(client, enumerate_body(max_elements=10), count=5)
    assert len(next(pages)) == 10
    assert grains.made == 11
    assert len(next(pages)) == 5
    assert grains.made == 16


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("collection = 'Pool'", {"Collection": "Pool"}),
        ("(2 = State AND On = TRUE) AND Text LIKE '%'", {"State": 2, "On": True}),
        ("State = '2' AND Collection = 'a' AND State > 1", {"State": 2, "Collection": "a"}),
        ("State = 2 OR State = 1", {}),
        ("NOT State = 2", {}),
        ("State = -1 AND A = NULL AND Number = 1.5 AND Text = Collection", {}),
    ],
)
def test_a_provider_is_told_what_the_filter_implies(
    where: str, expected: dict[str, CimScalar]
) -> None:
    grains = Grains(3)
    body = enumerate_body(wql=f"SELECT * FROM Test_Grain WHERE {where}", max_elements=9)
    make_client(grains).enumerate(GRAIN, body)
    assert grains.where == expected


def selector_filter(**chosen: str) -> ET.Element:
    body = enumerate_body(wql=" ", dialect=SELECTOR_FILTER, max_elements=9)
    body.find(f"{{{NAMESPACES['wsman']}}}Filter").append(selectors(**chosen).pack())
    return body


def test_a_selector_filter_implies_its_values() -> None:
    grains = Grains(9)
    client = make_client(grains)
    client.enumerate(GRAIN, selector_filter(state="2", COLLECTION="POOL"))
    assert grains.where == {"State": 2, "Collection": "POOL"}
    assert numbers_of(client) == [2, 5, 8]


@pytest.mark.parametrize("chosen", [{"Nothing": "1"}, {"State": "many"}])
def test_a_selector_filter_must_fit_the_class(chosen: dict[str, str]) -> None:
    client = make_client(Grains(1))
    with pytest.raises(WSManFaultError):
        client.enumerate(GRAIN, selector_filter(**chosen))
    assert fault(client)[0] == "n:CannotProcessFilter"


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.integers(8192, 40_000),
    st.text(st.sampled_from("a<&\u00e4\u20ac\U0001f600\x01"), max_size=800),
    st.sampled_from(["", "EnumerateEPR", "EnumerateObjectAndEPR"]),
)
def test_every_reply_is_within_the_limit_in_octets(size: int, text: str, mode: str) -> None:
    client = make_client(Grains(60, text))
    client.max_envelope_size = size
    seen = 0
    for page in read_all(client, enumerate_body(max_elements=1000, mode=mode), 1000):
        assert len(client.received) <= size
        seen += len(page) or len(re.findall(b"<a:EndpointReference>", client.received))
    assert seen == 60


def test_too_small_an_envelope_loses_nothing() -> None:
    client = make_client(Grains(3, "\u20ac" * 3000))
    (reply,) = client.enumerate(GRAIN, enumerate_body(optimise=False))
    context = reply.findtext(f"{{{WSEN}}}EnumerationContext")
    client.max_envelope_size = 8192
    for _ in range(2):
        with pytest.raises(WSManFaultError):
            client.pull(GRAIN, pull_body(context))
        assert fault(client) == ("w:EncodingLimit", "MaxEnvelopeSizeExceeded")
    client.max_envelope_size = 20_000
    client.pull(GRAIN, pull_body(context))
    assert numbers_of(client) == [0]


def test_a_wrong_pull_loses_nothing() -> None:
    client = make_client(Grains(3))
    (reply,) = client.enumerate(GRAIN, enumerate_body(optimise=False))
    context = reply.findtext(f"{{{WSEN}}}EnumerationContext")
    body = pull_body(context)
    body.find(f"{{{WSEN}}}MaxElements").text = "many"
    with pytest.raises(WSManFaultError):
        client.pull(GRAIN, body)
    client.pull(GRAIN, pull_body(context))
    assert numbers_of(client) == [0]


def test_rights_that_have_gone_end_an_enumeration() -> None:
    guard = Doorkeeper()
    client = make_client(Grains(3), guard)
    (reply,) = client.enumerate(GRAIN, enumerate_body(optimise=False))
    guard.closed = True
    with pytest.raises(WSManFaultError):
        client.pull(GRAIN, pull_body(reply.findtext(f"{{{WSEN}}}EnumerationContext")))
    assert fault(client)[0] == "w:AccessDenied"


@pytest.mark.parametrize("at", [0, 1, 7])
def test_what_fails_on_the_way_is_a_fault(at: int) -> None:
    grains = Grains(100)
    grains.breaks_at = at
    client = make_client(grains)
    with pytest.raises(WSManFaultError):
        for _ in read_all(client, enumerate_body(max_elements=2), 2):
            pass
    assert ET.fromstring(client.received).findtext(".//{*}CIMStatusCode") == "1"


def resident_octets() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize(
    "count", [100_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_memory_does_not_grow_with_the_instances(count: int) -> None:
    pages = read_all(make_client(Grains(count)), enumerate_body(max_elements=1000), 1000)
    seen = len(next(pages))
    before = most = resident_octets()
    for page in pages:
        seen += len(page)
        most = max(most, resident_octets())
    assert seen == count
    assert most - before < 50 * 2**20
