"""Why an operation on an instance was refused, in one word for programs, over both protocols."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import pytest
import pywbem
from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import NAMESPACES

from fakes.cimxml_client import CALLER, connect
from fakes.guards import OpenGuard
from fakes.widgets import SCHEMA, Widgets
from fakes.wsman_client import WIDGET, FrameClient, element, selectors
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.cim.types import CimValue
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.frontends.exchange import HttpReply, HttpRequest
from openrdms.frontends.wsman.service import Service
from openrdms.model import errors
from openrdms.model.reason import ReasonCode
from openrdms.providers.errors import fault

CLASS = "Test_Widget"
Told = tuple[str, str]
"""The word and the words."""


class Away(Widgets):
    """Changes need a host that does not answer; making one fails for reasons nobody knows."""

    def modify(
        self, caller: Caller, keys: Mapping[str, CimValue], changes: Mapping[str, CimValue]
    ) -> None:
        raise fault(errors.HostUnavailable("host1 & its disks are away"))

    def delete(self, caller: Caller, keys: Mapping[str, CimValue]) -> None:
        raise (
            fault(errors.OperationFailed("broken")) if keys["Name"] == "one" else ZeroDivisionError
        )


class Recorder(CimXmlServer):
    """Keeps its last reply: pywbem does not tell of headers."""

    def handle(self, caller: Caller, request: HttpRequest) -> HttpReply:
        self.last = super().handle(caller, request)
        return self.last


@pytest.fixture
def namespaces() -> Namespaces:
    widgets = Away()
    widgets.add("one", 1)
    return Namespaces([ObjectManager(SCHEMA, {CLASS: widgets}, OpenGuard())])


def over_wsman(
    namespaces: Namespaces, operation: str, name: str, values: dict[str, object]
) -> Told:
    service = Service(namespaces, "1.2.3")
    client = FrameClient(lambda data: service.handle(CALLER, data))
    body, keys = element(WIDGET, CLASS, values), selectors(Name=name, Slot=1)
    with pytest.raises(WSManFaultError):
        if operation == "get":
            client.get(WIDGET, selector_set=keys)
        elif operation == "delete":
            client.delete(WIDGET, selector_set=keys)
        elif operation == "create":
            client.create(WIDGET, element(WIDGET, CLASS, {**values, "Name": name, "Slot": 1}))
        else:
            client.put(WIDGET, body, None, keys)
    reason = ET.fromstring(client.received).find("s:Header/{urn:openrdms:reason}Reason", NAMESPACES)
    return ("", "") if reason is None else (reason.get("Code", ""), reason.text or "")


def over_cimxml(
    namespaces: Namespaces, operation: str, name: str, values: dict[str, object]
) -> Told:
    server = Recorder(namespaces)
    connection = connect(server)
    keys = {"Name": name, "Slot": pywbem.Uint32(1)}
    path = pywbem.CIMInstanceName(CLASS, keys)
    with pytest.raises(pywbem.CIMError):
        if operation == "get":
            connection.GetInstance(path)
        elif operation == "delete":
            connection.DeleteInstance(path)
        elif operation == "create":
            connection.CreateInstance(pywbem.CIMInstance(CLASS, {**values, **keys}))
        else:
            connection.ModifyInstance(pywbem.CIMInstance(CLASS, values, path=path))
    headers = dict(server.last.headers)
    return headers.get("OpenRDMS-Reason-Code", ""), unquote(headers.get("OpenRDMS-Reason", ""))


@pytest.mark.parametrize("ask", [over_wsman, over_cimxml])
@pytest.mark.parametrize(
    ("operation", "name", "values", "told"),
    [
        ("get", "none", {}, ("NotAsAsked", "no such widget")),
        ("put", "one", {"Serial": pywbem.Uint64(5)}, ("NotAsAsked", "Serial is read-only")),
        ("put", "one", {"Text": "x"}, ("HostAway", "host1 & its disks are away")),
        ("create", "one", {}, ("NotAsAsked", "the name is taken")),
        ("delete", "one", {}, ("", "")),
        ("delete", "two", {}, ("Defect", "the service failed; see its log")),
    ],
)
def test_a_fault_has_its_reason(
    namespaces: Namespaces,
    ask: Callable[[Namespaces, str, str, dict[str, object]], Told],
    operation: str,
    name: str,
    values: dict[str, object],
    told: Told,
) -> None:
    """None where no word says more than the fault does: a host failed at it."""
    assert ask(namespaces, operation, name, values) == told


@pytest.mark.parametrize("status", CimStatus)
def test_words_for_programs_are_those_of_the_model(status: CimStatus) -> None:
    assert CimError(status, "words").reason_code in {"", *ReasonCode}


def test_what_keeps_somebody_out_is_said() -> None:
    assert fault(errors.AccessDenied("not he")).reason_code == ReasonCode.NO_ACCESS
