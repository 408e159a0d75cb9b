"""Real requests taken apart and put together wrongly: always an answer, never a defect."""

from __future__ import annotations

import logging
import random
import re
import xml.etree.ElementTree as ET
from contextlib import suppress

import pytest
from pypsrp.exceptions import WSManFaultError

from fakes.guards import OpenGuard
from fakes.widgets import SCHEMA, Widgets
from fakes.wsman_client import (
    DMTF,
    SELECTOR_FILTER,
    WIDGET,
    FrameClient,
    element,
    enumerate_body,
    options,
    pull_body,
    selectors,
)
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.frontends.wsman.service import Service

CALLER = Caller("admin", "127.0.0.1", "administrator")
CLASSES = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*"
ONE = selectors(Name="one", Slot=1)
PARTS = re.compile(r"<[^>]*>|[^<]+")
WORDS = ["", "*", "x", "true", "-1", "9" * 20, "P1D", "\u20ac", "root/cimv2", "uuid:", "'", "a:b"]


@pytest.fixture
def service() -> Service:
    widgets = Widgets()
    widgets.add("One", 1, Text="", Tags=["a", None], Enabled=True)
    return Service(Namespaces([ObjectManager(SCHEMA, {"Test_Widget": widgets}, OpenGuard())]), "1")


def real_requests(service: Service) -> list[list[str]]:
    """One of each kind, as pypsrp writes them, in tags and texts."""
    client = FrameClient(lambda data: service.handle(CALLER, data))
    filtered = enumerate_body(wql=" ", dialect=SELECTOR_FILTER)
    filtered.find("{*}Filter").append(selectors(Text="x").pack())
    query = "SELECT Name FROM Test_Widget WHERE Slot = 1 AND Text LIKE 'a%'"
    values = {"Text": "a", "Octets": ["1", None], "Made": "2026-01-01T00:00:00Z"}
    asks = (
        lambda: client.get(WIDGET, selector_set=ONE),
        lambda: client.put(WIDGET, element(WIDGET, "Test_Widget", values), selector_set=ONE),
        lambda: client.invoke(
            f"{WIDGET}/Add", WIDGET, element(WIDGET, "Add_INPUT", {"Left": 1, "Right": 2})
        ),
        lambda: client.enumerate(WIDGET, enumerate_body(wql=query, max_elements=5)),
        lambda: client.enumerate(
            f"{DMTF}Test_Widget", enumerate_body(mode="EnumerateObjectAndEPR")
        ),
        lambda: client.enumerate(WIDGET, filtered),
        lambda: client.pull(WIDGET, pull_body("uuid:1")),
        lambda: client.get(
            CLASSES,
            selector_set=selectors(ClassName="Test_Widget"),
            option_set=options("IncludeQualifiers", "true"),
        ),
        lambda: client.enumerate(CLASSES, enumerate_body(), selector_set=selectors(ClassName="")),
    )
    sent = []
    for ask in asks:
        with suppress(WSManFaultError):
            ask()
        sent.append(PARTS.findall(client.sent.decode()))
    return sent


def mutate(requests: list[list[str]], chance: random.Random) -> bytes:
    parts = list(chance.choice(requests))
    for _ in range(chance.randint(1, 4)):
        at, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(5):
            case 0:
                parts[at] = ""
            case 1:
                parts.insert(at, chance.choice(chance.choice(requests)))
            case 2 if not parts[at].startswith("<"):
                parts[at] = chance.choice(WORDS)
            case 3:
                parts[at] = re.sub('"[^"]*"', f'"{chance.choice(WORDS)}"', parts[at], count=1)
            case _:
                parts[at], parts[other] = parts[other], parts[at]
    return "".join(parts).encode()


@pytest.mark.parametrize(
    "count", [3_000, pytest.param(300_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_there_is_always_an_answer(
    service: Service, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    caplog.set_level(logging.ERROR)
    requests = real_requests(service)
    chance = random.Random(count)
    answered = 0
    for _ in range(count):
        request = mutate(requests, chance)
        status, reply = service.handle(CALLER, request)
        assert not caplog.records, request.decode()
        assert ET.fromstring(reply).tag.endswith("}Envelope")
        answered += status == 200
    assert 0 < answered < count
