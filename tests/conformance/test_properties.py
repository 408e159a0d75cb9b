"""Every property over both protocols: read with its type, written where the table allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from conformance.collection_cases import PROPERTIES
from conformance.deployment_cases import NODE
from conformance.session_host_cases import ASSIGNMENT, RDSH, SERVER
from conformance.speakers import (
    ACCESS_DENIED,
    INVALID_PARAMETER,
    NOT_FOUND,
    TABLE,
    TYPE_MISMATCH,
    CimXmlSpeaker,
    Refused,
    WsManSpeaker,
)
from conformance.world import World
from conftest import ServiceFactory
from live.rollout import COLLECTION, DESKTOP, SESSION
from live.service import Service, rdms

APPLICATION, FILE_TYPE = "Win32_RDMSPublishedApplication", "Win32_RDMSFileTypeAssociation"
AUDITOR, AUDITORS_PASSWORD = "auditor", "reads and changes nothing"
PROTOCOLS = {"WS-Management": WsManSpeaker, "CIM-XML": CimXmlSpeaker}
PYTHON_TYPES = {"string": str, "boolean": bool, "uint32": int, "sint32": int, "uint8": int}
DIFFERENT: Mapping[str, Any] = {"string": "something else", "boolean": None, "uint32": 4711}

ICON = list(range(16))
REFERENCE = "ReferenceVirtualDesktop"
SAMPLES: Mapping[str, Mapping[str, Any]] = {
    PROPERTIES: {
        f"{REFERENCE}Name": "gold",
        f"{REFERENCE}MachineName": "GOLD-1",
        f"{REFERENCE}Host": "host1.sim.local",
        f"{REFERENCE}Guid": "{0F25506F-BF88-4E4E-A6CA-DE391DFD469E}",
        f"{REFERENCE}Osversion": "12",
        f"{REFERENCE}RamsizeMB": 4096,
        f"{REFERENCE}Architecture": "x86_64",
        f"{REFERENCE}RemoteFX": True,
        f"{REFERENCE}Adapters": ["one", "two"],
    },
    FILE_TYPE: {
        "IconPath": "/usr/share/icons/text.png",
        "IconIndex": 3,
        "IconContents": ICON,
        "IsPrimaryHandler": True,
        "IsPublished": True,
    },
    NODE: {
        "OSVersion": "12",
        "IsRdsh": True,
        "IsRdwa": True,
        "IsRdg": True,
        "IsRdls": True,
        "IsWebAccessCertificateInstalled": True,
        "IsGatewayCertificateInstalled": True,
        "IsRedirectorCertificateInstalled": True,
        "IsPublishingCertificateInstalled": True,
    },
    APPLICATION: {
        "DisplayName": "Text editor",
        "ShowInPortal": False,
        "SecurityDescriptor": "O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;S-1-5-21-1-2-3-1001)",
        "AppPath": "/usr/bin/mousepad",
        "VirtualPath": "/opt/mousepad",
        "CommandLineSetting": 2,
        "RequiredCommandLine": "--quiet",
        "Folder": "Tools",
        "IconPath": "/usr/share/icons/text.png",
        "IconIndex": 1,
        "IconContents": ICON,
    },
    COLLECTION: {
        "Type": 3,
        "Name": "Another name",
        "CollectionDescription": "for tests",
        "SecurityDescriptor": "O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;S-1-5-21-1-2-3-1002)",
        "VmFarmSettings": '<Farm><Metadata Name="SaveDelay" Value="60000"/></Farm>',
        "UserVHDSetting": (
            "<UVHDTemplateSetting><DiskSize>42949672960</DiskSize></UVHDTemplateSetting>"
        ),
        "IconContents": ICON,
        "ShowInPortal": False,
        "IsUserAdmin": True,
        "RollbackEnabled": False,
    },
    RDSH: {"Name": "Other hosts", "Description": "for tests", "Type": 5},
    SERVER: {"ConnectionBroker": "broker.corp.example"},
}
FIXED = {
    (COLLECTION, "IsManaged"),
    (COLLECTION, "IsHA"),
    (NODE, "IsRdcb"),
    (NODE, "IsRdvh"),
    (SERVER, "CollectionAlias"),
}
"""Writable by the table, changed by rules that tests of their own hold."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("properties")
    times = "clone_ms=5&start_ms=5&boot_ms=20&agent_ms=5&destroy_ms=5"
    service = running_service(
        place / "state",
        f"simulator://{place}/cluster?hosts=3&users=0&{times}",
        options=["--cimxml-http-port", "0", "--cimxml-https-port", "0"],
    )
    password = place / "password"
    password.write_text(AUDITORS_PASSWORD + "\n")
    rdms(
        *("user", "add", AUDITOR, "--role", "auditor", "--password-file", password),
        *("--state-dir", service.state_dir),
    )
    return service


@pytest.fixture(scope="module")
def world(service: Service, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(service, tmp_path_factory.mktemp("paths"))


@pytest.fixture(scope="module", params=PROTOCOLS)
def speaking(world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    [others] = [name for name in PROTOCOLS if name != request.param]
    world.speaker = PROTOCOLS[request.param](world.service)
    world.other = PROTOCOLS[others](world.service)
    yield world


def new_application(w: World) -> dict[str, Any]:
    return {"PoolName": w.pool, "AppAlias": w.publish(w.pool)}


def new_file_type(w: World) -> dict[str, Any]:
    keys = {**new_application(w), "ExtName": ".txt"}
    w.other.create(FILE_TYPE, keys)
    return keys


def new_assignment(w: World) -> dict[str, Any]:
    alias, server = w.new_personal_rdsh()
    given = {"CollectionAlias": alias, "DesktopName": server}
    keys = given | {"UserName": w.fresh("user"), "UserDomain": "CORP"}
    w.other.create(ASSIGNMENT, keys)
    return keys


def new_personal(w: World) -> dict[str, Any]:
    alias = w.fresh("p")
    w.other.create(COLLECTION, {"Alias": alias, "Name": alias, "Type": 2, "IsManaged": False})
    return {"Alias": alias}


def new_rdsh(w: World) -> dict[str, Any]:
    alias = w.fresh("r")
    w.other.create(RDSH, {"Alias": alias, "Name": alias, "Type": 4})
    return {"Alias": alias}


INSTANCES: Mapping[str, Callable[[World], dict[str, Any]]] = {
    PROPERTIES: new_personal,
    ASSIGNMENT: new_assignment,
    FILE_TYPE: new_file_type,
    NODE: lambda w: {"FQDN": w.spare_host},
    APPLICATION: new_application,
    DESKTOP: lambda w: {"Name": w.desktops[0]},
    COLLECTION: new_personal,
    RDSH: new_rdsh,
    SERVER: lambda w: {"Name": w.new_server()},
    SESSION: lambda w: w.new_session(),
}
"""A way to an instance of each class that has any."""

every_class = pytest.mark.parametrize("name", INSTANCES)
every_writable = pytest.mark.parametrize(
    ("name", "prop", "value"),
    [
        pytest.param(name, prop, value, id=f"{name}.{prop}")
        for name, values in SAMPLES.items()
        for prop, value in values.items()
    ],
)
READ_ONLY = [
    pytest.param(name, prop, id=f"{name}.{prop}")
    for name in INSTANCES
    for prop, item in TABLE[name]["properties"].items()
    if item["access"] == "read" and not item.get("key")
]


def test_there_is_a_sample_for_every_writable_property() -> None:
    writable = {
        (name, prop)
        for name, item in TABLE.items()
        for prop, declared in item["properties"].items()
        if "write" in declared["access"] and not declared.get("key")
    }
    assert {(name, prop) for name in SAMPLES for prop in SAMPLES[name]} | FIXED == writable
    assert sum(len(item["properties"]) for item in TABLE.values()) == 87


@every_class
def test_an_instance_has_every_property_with_its_type(speaking: World, name: str) -> None:
    keys = INSTANCES[name](speaking)
    found = speaking.speaker.get(name, keys)
    declared = TABLE[name]["properties"]
    assert set(found) == set(declared)
    for prop, value in found.items():
        kind = PYTHON_TYPES[declared[prop]["type"]]
        values = value if isinstance(value, list) else [value]
        assert all(one is None or type(one) is kind for one in values), (prop, value)
    assert {prop: found[prop] for prop in keys} == keys
    assert found == speaking.other.get(name, keys)
    assert found in speaking.speaker.list(name)


@every_writable
def test_what_is_written_is_read_by_the_other_protocol(
    speaking: World, name: str, prop: str, value: Any
) -> None:
    keys = INSTANCES[name](speaking)
    written = speaking.fresh(value) if prop == "Name" else value  # names of collections are unique
    speaking.speaker.put(name, keys, {prop: written})
    assert speaking.other.get(name, keys)[prop] == written


@every_writable
def test_a_value_of_another_type_changes_nothing(
    speaking: World, name: str, prop: str, value: Any
) -> None:
    item = TABLE[name]["properties"][prop]
    if item["type"] == "string":
        return  # any text is a string
    keys = INSTANCES[name](speaking)
    before = speaking.dump()
    wrong = ["nonsense"] if item.get("array") else "nonsense"
    with pytest.raises(Refused) as refused:
        speaking.speaker.put(name, keys, {prop: wrong})
    assert refused.value.status == TYPE_MISMATCH
    assert speaking.dump() == before


@pytest.mark.parametrize(("name", "prop"), READ_ONLY)
def test_a_read_only_property_is_not_written(speaking: World, name: str, prop: str) -> None:
    keys = INSTANCES[name](speaking)
    before = speaking.dump()
    kind = TABLE[name]["properties"][prop]["type"]
    with pytest.raises(Refused) as refused:
        speaking.speaker.put(name, keys, {prop: DIFFERENT[kind]})
    assert refused.value.status in (INVALID_PARAMETER, 7, 1), str(refused.value)
    assert speaking.dump() == before


@every_class
def test_an_absent_instance_is_not_found(speaking: World, name: str) -> None:
    keys = INSTANCES[name](speaking)
    absent = {
        key: 4_000_000 if isinstance(value, int) else "nowhere" for key, value in keys.items()
    }
    with pytest.raises(Refused) as refused:
        speaking.speaker.get(name, absent)
    assert refused.value.status == NOT_FOUND


@every_writable
def test_an_auditor_changes_nothing(speaking: World, name: str, prop: str, value: Any) -> None:
    keys = INSTANCES[name](speaking)
    auditor = type(speaking.speaker)(speaking.service, AUDITOR, AUDITORS_PASSWORD)
    before = speaking.dump()
    with pytest.raises(Refused) as denied:
        auditor.put(name, keys, {prop: value})
    assert denied.value.status == ACCESS_DENIED
    assert speaking.dump() == before
