"""The RDMS classes through the object manager: names, values, ReturnValues and faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.guards import OpenGuard
from fakes.provisioning_rig import now
from fakes.small_deployment import HOST1, HOST2, SmallDeployment, open_small_deployment
from openrdms.adapters import simulator
from openrdms.adapters.node_probe import NodeProbe
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.object_manager import ObjectManager
from openrdms.cim.provider import Caller, MethodResult
from openrdms.cim.types import CimValue
from openrdms.model import errors
from openrdms.model.collection import ProvisioningSettings
from openrdms.model.session import Session
from openrdms.providers import rdms
from openrdms.providers.schema import load_rdms
from openrdms.security.audit_log import AuditLog
from openrdms.services.assignments import Assignments
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.desktops import Desktops
from openrdms.services.last_seen import Seen
from openrdms.services.nodes import Nodes
from openrdms.services.patching import Patching
from openrdms.services.publishing import Publishing
from openrdms.services.session_hosts import SessionHosts
from openrdms.services.settings import Settings

CALLER = Caller("admin", "127.0.0.1", "administrator")
COLLECTION = "Win32_RDMSVirtualDesktopCollection"
PROPERTIES = "Win32_RDMSCollectionProperties"
DESKTOP = "Win32_RDMSVirtualDesktop"
SESSION = "Win32_VirtualDesktopSession"
NODE = "Win32_RDMSJoinedNode"
ENVIRONMENT = "Win32_RDMSEnvironment"
GUID = "{00000000-0000-0000-0000-00000000000A}"
FARM: dict[str, CimValue] = {"Alias": "farm", "Name": "The farm", "Type": 2, "IsManaged": True}
NO_SERVICES = rdms.Services(*[None] * len(fields(rdms.Services)))  # type: ignore[arg-type]
THE_SESSION = Session(HOST1, 7, "vd-1", 0, "ann", "", "farm", "10.0.0.1")
PREP: dict[str, CimValue] = {
    "CollectionAlias": None,
    "VMHostName": HOST1,
    "VMName": "vd-1",
    "ExportToLocation": "/images/x",
    "bSysPrep": True,
    "MachineName": None,
    "UserName": "ann",
    "Password": "hunter2",
}


@dataclass
class FakeProvisioning:
    """Remembers calls; refuses with ``error``."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    error: errors.RdmsError | None = None

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if self.error:
            raise self.error

    def execute(self, document: str) -> str:
        self._note("execute", document)
        return GUID

    def prepare(self, **request: Any) -> str:
        self._note("prepare", request)
        return GUID

    def cancel(self, guid: str) -> None:
        self._note("cancel", guid)

    def report(self, guid: str) -> str:
        self._note("report", guid)
        return "<report />"

    def list_guids(self, *, running: bool, collection: str | None = None) -> list[str]:
        self._note("list", running, collection)
        return [GUID]


@dataclass
class FakeSessions:
    """One session; methods on any other are refused as the guest would."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    session: Session = THE_SESSION
    seen: Seen | None = None
    seen_in: list[tuple[str, str]] = field(default_factory=list)

    def list(self, **_: str | None) -> list[Session]:
        return [self.session]

    def get(self, host: str, session_id: int) -> Session:
        if (host.casefold(), session_id) != (self.session.host.casefold(), self.session.session_id):
            raise errors.NotFound(f"host {host} has no session {session_id}")
        return self.session

    def last_seen(self, host: str, vm: str) -> Seen | None:
        self.seen_in.append((host, vm))
        return self.seen

    def _note(self, *call: Any) -> None:
        if call[2] != self.session.session_id:
            raise errors.SessionGone("it has ended")
        self.calls.append(call)

    def send_message(self, host: str, session_id: int, title: str, text: str) -> None:
        self._note("message", host, session_id, title, text)

    def disconnect(self, host: str, session_id: int) -> None:
        self._note("disconnect", host, session_id)

    def log_off(self, host: str, session_id: int) -> None:
        self._note("log off", host, session_id)


@dataclass(frozen=True)
class Service:
    """The object manager over real services, with jobs and guests left out."""

    place: SmallDeployment
    manager: ObjectManager
    provisioning: FakeProvisioning
    sessions: FakeSessions

    def create(self, **properties: CimValue) -> None:
        self.manager.create(CALLER, COLLECTION, FARM | properties)

    def list(self, cim_class: str) -> list[Mapping[str, CimValue]]:
        return [item.properties for item in self.manager.enumerate(CALLER, cim_class)]

    def invoke(
        self, cim_class: str, method: str, /, keys: Mapping[str, CimValue], **given: CimValue
    ) -> MethodResult:
        return self.manager.invoke(CALLER, cim_class, method, keys, given)

    def on_farm(self, method: str, **given: CimValue) -> MethodResult:
        return self.invoke(COLLECTION, method, {"Alias": "FARM"}, **given)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with open_small_deployment(tmp_path) as place:
        provisioning, sessions = FakeProvisioning(), FakeSessions()
        deployment = Deployment(place.store)
        audit_log = AuditLog(place.store, tmp_path / "audit-head", now)
        services = rdms.Services(
            collections=Collections(place.store, place.hosts, place.uses),
            desktops=Desktops(
                place.store, place.hosts, place.health(), place.run_states(), place.uses
            ),
            provisioning=provisioning,  # type: ignore[arg-type]
            sessions=sessions,  # type: ignore[arg-type]
            deployment=deployment,
            nodes=Nodes(place.store, place.hosts, deployment.list_brokers, NodeProbe()),
            patching=Patching(place.store, provisioning, audit_log, sessions, now),  # type: ignore[arg-type]
            session_hosts=SessionHosts(place.store, deployment),
            assignments=Assignments(place.store),
            settings=Settings(place.store, {}),
            publishing=Publishing(place.store),
        )
        providers = rdms.make_providers(services)
        yield Service(
            place, ObjectManager(load_rdms(), providers, OpenGuard()), provisioning, sessions
        )


# every class


def test_every_class_of_the_schema_has_a_provider(service: Service) -> None:
    providers = rdms.make_providers(NO_SERVICES)
    assert {item.name for item in load_rdms().classes} == set(providers)


@pytest.mark.parametrize(
    ("cim_class", "instances"),
    [(COLLECTION, 1), (PROPERTIES, 1), (DESKTOP, 1), (SESSION, 1), (NODE, 3)],
)
def test_instances_have_the_properties_of_the_schema(
    service: Service, cim_class: str, instances: int
) -> None:
    service.create(IconContents=[0, 255])
    service.place.make_desktop("vd-1", "farm")
    declared = load_rdms().get_class(cim_class)
    listed = service.list(cim_class)
    assert len(listed) == instances
    for properties in listed:
        assert set(properties) == {item.name for item in declared.properties}
        for item in declared.properties:
            item.check(properties[item.name])
        keys = {item.name: properties[item.name] for item in declared.keys}
        assert service.manager.get(CALLER, cim_class, keys).properties == properties


@pytest.mark.parametrize("cim_class", [item.name for item in load_rdms().classes])
def test_methods_bound_are_methods_declared(cim_class: str) -> None:
    provider = rdms.make_providers(NO_SERVICES)[cim_class]
    declared = {item.name for item in load_rdms().get_class(cim_class).methods}
    assert set(provider.methods) <= declared  # type: ignore[attr-defined]


# collections


def test_a_collection_is_created_changed_and_deleted(service: Service) -> None:
    keys = service.manager.create(CALLER, COLLECTION, FARM)
    assert keys == {"Alias": "farm"}
    service.manager.modify(
        CALLER, COLLECTION, keys, {"CollectionDescription": "x", "Type": 3, "IconContents": [1, 2]}
    )
    (found,) = service.list(COLLECTION)
    assert (found["CollectionDescription"], found["Type"]) == ("x", 3)
    assert found["IconContents"] == [1, 2]
    assert "SaveDelay" in str(found["VmFarmSettings"])
    service.manager.modify(CALLER, COLLECTION, keys, found | {"CollectionDescription": None})
    assert service.list(COLLECTION)[0]["CollectionDescription"] is None
    service.manager.delete(CALLER, COLLECTION, keys)
    assert service.list(COLLECTION) == service.list(PROPERTIES) == []


@pytest.mark.parametrize(
    ("changes", "status", "wbem"),
    [
        ({}, CimStatus.ALREADY_EXISTS, 0x80041019),
        ({"Alias": "b", "Name": "THE FARM"}, CimStatus.ALREADY_EXISTS, 0x80041019),
        ({"Alias": "b", "Name": None}, CimStatus.INVALID_PARAMETER, 0x80041008),
        ({"Alias": "b", "Name": "B", "Type": 4}, CimStatus.INVALID_PARAMETER, 0x80041008),
    ],
)
def test_what_cannot_be_created(
    service: Service, changes: dict[str, CimValue], status: CimStatus, wbem: int
) -> None:
    service.create()
    with pytest.raises(CimError) as caught:
        service.create(**changes)
    assert (caught.value.status, caught.value.wbem) == (status, wbem)


@pytest.mark.parametrize(
    "changes", [{"Type": 1}, {"Name": None}, {"IsManaged": False}, {"IconContents": [None]}]
)
def test_what_cannot_be_put(service: Service, changes: dict[str, CimValue]) -> None:
    service.create()
    with pytest.raises(CimError) as caught:
        service.manager.modify(CALLER, COLLECTION, {"Alias": "farm"}, changes)
    assert caught.value.status is CimStatus.INVALID_PARAMETER
    assert caught.value.names == tuple(changes)


def test_a_managed_collection_with_desktops_is_not_deleted(service: Service) -> None:
    service.create()
    service.place.make_desktop("vd-1", "farm")
    with pytest.raises(CimError) as caught:
        service.manager.delete(CALLER, COLLECTION, {"Alias": "farm"})
    assert (caught.value.status, caught.value.wbem) == (CimStatus.FAILED, 0x80041016)


@pytest.mark.parametrize("method", ["AddVirtualDesktop", "RemoveVirtualDesktop"])
def test_an_instance_that_does_not_exist_is_a_fault(service: Service, method: str) -> None:
    with pytest.raises(CimError) as caught:
        service.on_farm(method, VMName="vd-1")
    assert (caught.value.status, caught.value.wbem) == (CimStatus.NOT_FOUND, 0x80041002)


def test_membership_and_its_refusals(service: Service) -> None:
    service.create()
    simulator.add_stranger(service.place.path, HOST1, "debian")
    assert service.on_farm("AddVirtualDesktop", VMName="debian") == MethodResult()
    assert service.on_farm("AddVirtualDesktop", VMName="debian").return_value == 0x80041019
    assert service.on_farm("AddVirtualDesktop", VMName=None).return_value == 0x80041008
    assert service.list(DESKTOP)[0]["CollectionAlias"] == "farm"
    for _ in range(2):
        assert service.on_farm("RemoveVirtualDesktop", VMName="DEBIAN").return_value == 0
    refused = service.on_farm("RemoveVirtualDesktop", VMName="nobody")
    assert refused.return_value == 2147749890
    assert "nobody" in refused.reason
    assert service.list(DESKTOP)[0]["CollectionAlias"] == ""


def test_property_keys(service: Service) -> None:
    service.create()
    assert service.on_farm("GetInt32Property", Key="CollectionState").outputs == {"Value": 0}
    assert service.on_farm("GetStringProperty", Key="ProvisioningJobId").outputs == {"Value": ""}
    assert service.on_farm("SetInt32Property", Key="MaxMonitors", Value=2).return_value == 0
    assert service.on_farm("GetInt32Property", Key="maxmonitors").outputs == {"Value": 2}
    read_only = service.on_farm("SetInt32Property", Key="CollectionState", Value=10)
    assert read_only.return_value == 0x80041016
    for method, key in (
        ("GetInt32Property", "Unset"),
        ("GetStringProperty", "MaxMonitors"),
        ("GetInt32Property", "ProvisioningJobId"),
    ):
        with pytest.raises(CimError) as caught:
            service.on_farm(method, Key=key)
        assert (caught.value.status, caught.value.wbem) == (CimStatus.NOT_FOUND, 0x80041002)


def test_without_an_update_there_is_nothing_to_ask_for_or_to_cancel(service: Service) -> None:
    service.create()
    cancelled = service.on_farm("CancelPatch")
    assert (cancelled.return_value, "nothing is scheduled" in cancelled.reason) == (
        0x80041016,
        True,
    )
    assert service.on_farm("GetPatchProperties").return_value == 0x80041002


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("StartTime", wrong) for wrong in (None, timedelta(hours=1))),
        *(("ForceLogOffTime", wrong) for wrong in (None, timedelta(hours=1))),
        ("JobInputXml", None),
    ],
)
def test_an_update_needs_points_in_time_and_a_document(
    service: Service, name: str, value: CimValue
) -> None:
    service.create()
    given: dict[str, CimValue] = {"StartTime": now(), "ForceLogOffTime": now(), "JobInputXml": ""}
    refused = service.on_farm("SchedulePatch", **given | {name: value})
    assert (refused.return_value, name in refused.reason) == (0x80041008, True)


# jobs


def test_provisioning_methods_pass_on_what_they_are_given(service: Service) -> None:
    execute = service.invoke(COLLECTION, "ProvisioningJobExecute", {}, JobInputXml="<job />")
    prepare = service.invoke(COLLECTION, "ProvisioningPrepJob", {"Alias": "x"}, **PREP)
    assert execute == prepare == MethodResult(outputs={"JobGuid": GUID})
    report = service.invoke(COLLECTION, "ProvisioningJobGetReport", {}, JobGuid="a")
    assert report.outputs == {"JobReportXml": "<report />"}
    assert service.invoke(COLLECTION, "ProvisioningJobCancel", {}, JobGuid="b").return_value == 0
    assert service.provisioning.calls == [
        ("execute", "<job />"),
        (
            "prepare",
            {
                "collection": "",
                "host": HOST1,
                "vm": "vd-1",
                "export_to": "/images/x",
                "sysprep": True,
                "machine": "",
                "user": "ann",
                "password": "hunter2",
            },
        ),
        ("report", "a"),
        ("cancel", "b"),
    ]


@pytest.mark.parametrize(("alias", "collection"), [("", None), (None, None), ("farm", "farm")])
def test_jobs_are_listed(service: Service, alias: str | None, collection: str | None) -> None:
    def list_jobs(kind: int) -> MethodResult:
        return service.invoke(
            COLLECTION, "ProvisioningEnumerateJobs", {}, JobType=kind, CollectionAlias=alias
        )

    assert list_jobs(0).outputs == list_jobs(1).outputs == {"JobGuids": [GUID]}
    assert list_jobs(2).return_value == 0x80041008
    assert service.provisioning.calls == [("list", True, collection), ("list", False, collection)]


def test_what_a_job_method_refuses_is_its_return_value(service: Service) -> None:
    service.provisioning.error = errors.InvalidOperation("it has ended")
    result = service.invoke(COLLECTION, "ProvisioningJobCancel", {}, JobGuid=GUID)
    assert result == MethodResult(0x80041016, reason="it has ended", reason_code="NotNow")


def test_provisioning_properties(service: Service) -> None:
    service.create()
    farm: dict[str, CimValue] = {"Alias": "farm"}
    method = "GetProvisioningProperties"
    assert service.invoke(PROPERTIES, method, farm).return_value == 0x80041002
    stored = ProvisioningSettings(
        "Clone", "image:a", "a@1", "vd-", 5, "/l", "/g", True, "//s", False, "d", "OU=x", "<u />"
    )
    service.place.store.set_provisioning("farm", stored)
    outputs = service.invoke(PROPERTIES, method, farm).outputs
    assert outputs == {
        "PoolVhdType": "Clone",
        "MasterVmLocation": "image:a",
        "NamePrefix": "vd-",
        "NameStartIndex": 5,
        "LocalVmLocation": "/l",
        "LocalGoldVmLocation": "/g",
        "RunFromSMB": True,
        "SMBLocation": "//s",
        "SMBStreaming": False,
        "VmDomain": "d",
        "VmOU": "OU=x",
        "ProductKey": None,
    }
    declared = load_rdms().get_class(PROPERTIES).get_method(method)
    assert set(outputs) == {item.name for item in declared.parameters}
    service.place.store.set_provisioning("farm", replace(stored, domain=""))
    assert service.invoke(PROPERTIES, method, farm).outputs["VmDomain"] == "WORKGROUP"


def test_the_reference_desktop_can_be_put(service: Service) -> None:
    service.create()
    changes: dict[str, CimValue] = {
        "ReferenceVirtualDesktopName": "master",
        "ReferenceVirtualDesktopRamsizeMB": 2048,
        "ReferenceVirtualDesktopAdapters": ["a", "b"],
    }
    service.manager.modify(CALLER, PROPERTIES, {"Alias": "FARM"}, changes)
    (found,) = service.list(PROPERTIES)
    assert changes.items() <= found.items()
    for name, value in (("RemoteFX", None), ("Adapters", [None])):
        wrong: dict[str, CimValue] = {f"ReferenceVirtualDesktop{name}": value}
        with pytest.raises(CimError) as caught:
            service.manager.modify(CALLER, PROPERTIES, {"Alias": "farm"}, wrong)
        assert caught.value.status is CimStatus.INVALID_PARAMETER


# desktops, sessions, nodes


def test_a_desktop_in_no_collection_has_an_empty_alias_and_no_user(service: Service) -> None:
    simulator.add_stranger(service.place.path, HOST2, "debian")
    (found,) = service.list(DESKTOP)
    assert found == {
        "Name": "debian",
        "HostName": HOST2,
        "Status": 0,
        "CollectionAlias": "",
        "SessionState": None,
        "SessionUserName": None,
        "UserName": None,
        "UserDomain": None,
        "VMState": 2,
    }


def test_who_was_seen_lately_in_a_desktop_that_runs(service: Service) -> None:
    simulator.add_stranger(service.place.path, HOST2, "runs")
    simulator.add_stranger(service.place.path, HOST2, "stopped", running=False)
    service.sessions.seen = Seen("alice", 4)
    shown = {
        one["Name"]: (one["SessionUserName"], one["SessionState"]) for one in service.list(DESKTOP)
    }
    assert shown == {"runs": ("alice", "disconnected"), "stopped": (None, None)}
    assert service.sessions.seen_in == [(HOST2, "runs")]


def test_desktop_methods(service: Service) -> None:
    service.create()
    service.place.make_desktop("vd-1", "farm")
    keys: dict[str, CimValue] = {"Name": "VD-1"}
    assert service.invoke(DESKTOP, "SetVirtualDesktopState", keys, VMState=2).return_value == 0
    assert service.invoke(DESKTOP, "GetVirtualDesktopState", keys).outputs == {"VMState": 2}
    details = service.invoke(DESKTOP, "GetVirtualDesktopDetails", keys).outputs
    assert details["RemoteFXEnabled"] is False
    assert details["OSVersion"] == "linux"
    for asked, told in ((32768, 32768), (2, 2), (32769, 6), (6, 6), (3, 3)):
        state = service.invoke(DESKTOP, "SetVirtualDesktopState", keys, VMState=asked)
        assert state.return_value == 0
        found = service.invoke(DESKTOP, "GetVirtualDesktopState", keys).outputs
        assert found == {"VMState": told}
    for wrong, code in ((32777, 0x80041008), (1, 0x80041008), (32768, 0x80041016)):
        state = service.invoke(DESKTOP, "SetVirtualDesktopState", keys, VMState=wrong)
        assert state.return_value == code


def test_user_assignment(service: Service) -> None:
    service.create()
    service.place.make_desktop("vd-1", "farm")
    keys: dict[str, CimValue] = {"Name": "vd-1"}
    user: dict[str, CimValue] = {"UserName": "ann", "UserDomain": "EXAMPLE"}
    nobody = {"UserName": None, "UserDomain": None}

    def find() -> CimValue:
        wanted = user | {"CollectionAlias": "farm"}
        return service.invoke(DESKTOP, "GetVirtualDesktopAssignedToUser", {}, **wanted).outputs[
            "VMName"
        ]

    assert service.invoke(DESKTOP, "GetUserAssignment", keys).outputs == nobody
    assert find() == ""
    assert service.invoke(DESKTOP, "SetUserAssignment", keys, **user).return_value == 0
    assert service.invoke(DESKTOP, "GetUserAssignment", keys).outputs == user
    assert find() == "vd-1"
    assert service.invoke(DESKTOP, "RemoveUserAssignment", {}, VMName="vd-1").return_value == 0
    assert service.invoke(DESKTOP, "GetUserAssignment", keys).outputs == nobody


def test_session_methods(service: Service) -> None:
    keys: dict[str, CimValue] = {"VMHostName": HOST1, "SessionId": 7}
    message = service.invoke(SESSION, "SendMessage", keys, Title=None, Message="Lunch")
    assert message.return_value == 0
    bare = service.invoke(SESSION, "SendMessage", keys, Title="Lunch", Message=None)
    assert bare.return_value == 0
    assert service.invoke(SESSION, "Disconnect", keys).return_value == 0
    assert service.invoke(SESSION, "Logoff", keys).return_value == 0
    assert service.sessions.calls == [
        ("message", HOST1, 7, "", "Lunch"),
        ("message", HOST1, 7, "Lunch", ""),
        ("disconnect", HOST1, 7),
        ("log off", HOST1, 7),
    ]


def test_a_session_that_has_gone_is_a_return_value(service: Service) -> None:
    gone: dict[str, CimValue] = {"VMHostName": HOST1, "SessionId": 8}
    assert service.invoke(SESSION, "Logoff", gone).return_value == 1168
    with pytest.raises(CimError) as caught:
        service.manager.get(CALLER, SESSION, gone)
    assert caught.value.status is CimStatus.NOT_FOUND


def test_nodes_and_the_active_server(service: Service) -> None:
    (broker, *hosts) = service.list(NODE)
    active = service.invoke(ENVIRONMENT, "GetActiveServer", {}).outputs
    assert active == {"ServerName": broker["FQDN"]}
    assert (broker["IsRdcb"], broker["IsRdvh"]) == (True, False)
    assert [(node["FQDN"], node["IsRdvh"]) for node in hosts] == [(HOST1, True), (HOST2, True)]
    counted = service.invoke(NODE, "GetJoinedNodeCount", {}, roleType=4)
    assert counted.outputs == {"Count": 2}
