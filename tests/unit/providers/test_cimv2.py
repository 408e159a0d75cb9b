"""Classes outside root/cimv2/rdms: sessions, the operating system, namespaces, the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem._mof_compiler import MOFWBEMConnection

from fakes.guards import OpenGuard
from openrdms.cim import wql
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.object_manager import Namespaces
from openrdms.cim.provider import Caller
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.session import Session
from openrdms.providers import schema
from openrdms.providers.cimv2 import OperatingSystem, SessionDirectory
from openrdms.providers.interop import Server
from openrdms.providers.namespaces import make_namespaces

CALLER = Caller("admin", "127.0.0.1", "administrator")
SESSIONS = "Win32_SessionDirectorySessionEx"
LOGON = datetime(2026, 11, 21, 8, 30, 5, tzinfo=UTC)
ANNA = Session(
    *("host1", 7, "desk-1", 0, "anna", "CONTOSO", "POOL", "192.0.2.7"),
    since=LOGON,
    idle=timedelta(minutes=2, microseconds=1500),
)
BERT = Session("host2", 9, "desk-2", 4, "bert", "", "", "")


@dataclass
class FakeSessions:
    """``asked`` are the restrictions of each call, which it keeps."""

    sessions: Sequence[Session] = (ANNA, BERT)
    asked: list[dict[str, str | None]] = field(default_factory=list)

    def list(self, *, collection: str | None = None, vm: str | None = None) -> list[Session]:
        self.asked.append({"collection": collection, "vm": vm})
        return [
            session
            for session in self.sessions
            if collection in (None, session.collection) and vm in (None, session.vm)
        ]


class FakeCollections:
    def list_collections(self) -> list[Collection]:
        return [Collection("POOL", "The pool", CollectionType.POOLED, is_managed=True)]


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


@pytest.fixture
def namespaces(sessions: FakeSessions) -> Namespaces:
    directory = SessionDirectory(sessions, FakeCollections())  # type: ignore[arg-type]
    return make_namespaces(
        {}, [OperatingSystem(), directory], [], [], OpenGuard(), Server("broker.test", "1.2.3")
    )


Select = Callable[[str, str], list[dict[str, Any]]]


@pytest.fixture
def select(namespaces: Namespaces) -> Select:
    def select(namespace: str, query: str) -> list[dict[str, Any]]:
        manager = namespaces.get(namespace)
        parsed = wql.parse(query, manager.schema.get_class)
        found = manager.enumerate(CALLER, parsed.class_name, parsed.equalities)
        return [dict(one.properties) for one in found if parsed.matches(one)]

    return select


def test_sessions_as_a_broker_lists_them(select: Select) -> None:
    anna, bert = select("root/cimv2", f"SELECT * FROM {SESSIONS}")
    assert anna == {
        "ServerName": "desk-1",
        "SessionId": 7,
        "UserName": "anna",
        "DomainName": "CONTOSO",
        "CreateTime": LOGON,
        "SessionState": 0,
        "CollectionAlias": "POOL",
        "CollectionType": 1,
        "UnifiedSessionId": 7,
        "HostServer": "host1",
        "IdleTime": 120_001,
        "RemoteFxEnabled": False,
    }
    assert (bert["CollectionAlias"], bert["CollectionType"]) == ("", None)
    assert (bert["SessionState"], bert["CreateTime"], bert["IdleTime"]) == (4, None, None)


def test_a_session_may_be_idle_for_longer_than_can_be_said() -> None:
    sessions = FakeSessions([replace(ANNA, idle=timedelta(days=90))])
    directory = SessionDirectory(sessions, FakeCollections())  # type: ignore[arg-type]
    assert [one["IdleTime"] for one in directory.do_list({})] == [2**32 - 1]


@pytest.mark.parametrize(
    ("where", "names", "asked"),
    [
        ("CollectionAlias = 'POOL'", ["anna"], {"collection": "POOL", "vm": None}),
        ("CollectionAlias = ''", ["bert"], {"collection": "", "vm": None}),
        ("ServerName = 'desk-2'", ["bert"], {"collection": None, "vm": "desk-2"}),
        ("UserName = 'ANNA'", ["anna"], {"collection": None, "vm": None}),
        ("CollectionAlias = 'POOL' OR SessionId = 9", ["anna", "bert"], None),
        ("UnifiedSessionId = 9 AND HostServer = 'HOST2'", ["bert"], None),
        ("IdleTime IS NULL AND SessionState = 4", ["bert"], None),
        ("CreateTime IS NOT NULL AND IdleTime > 60000", ["anna"], None),
    ],
)
def test_filters_of_sessions(
    select: Select,
    sessions: FakeSessions,
    where: str,
    names: list[str],
    asked: dict[str, str | None] | None,
) -> None:
    found = select("root/cimv2", f"SELECT * FROM {SESSIONS} WHERE {where}")
    assert [one["UserName"] for one in found] == names
    assert sessions.asked == [asked or {"collection": None, "vm": None}]


def test_one_session(namespaces: Namespaces) -> None:
    manager = namespaces.get("root/cimv2")
    found = manager.get(CALLER, SESSIONS, {"ServerName": "desk-2", "SessionId": 9})
    assert found.properties["UserName"] == "bert"
    with pytest.raises(CimError) as caught:
        manager.get(CALLER, SESSIONS, {"ServerName": "desk-2", "SessionId": 7})
    assert caught.value.status is CimStatus.NOT_FOUND


def test_the_operating_system_is_new_enough_for_clients_and_truly_named(select: Select) -> None:
    (found,) = select("root/cimv2", "SELECT * FROM Win32_OperatingSystem")
    assert int(found["Version"].partition(".")[0]) >= 10
    assert f'PRETTY_NAME="{found["Caption"]}"' in Path("/etc/os-release").read_text()
    uptime = timedelta(seconds=float(Path("/proc/uptime").read_text().split()[0]))
    assert abs(datetime.now(UTC) - uptime - found["LastBootUpTime"]) < timedelta(minutes=1)
    time.sleep(0.01)
    (again,) = select("root/cimv2", "SELECT * FROM Win32_OperatingSystem")
    assert again["LastBootUpTime"] == found["LastBootUpTime"]


def test_get_finds_a_fixed_instance_by_its_keys(namespaces: Namespaces, select: Select) -> None:
    (found,) = select("root/cimv2", "SELECT * FROM Win32_OperatingSystem")
    manager = namespaces.get("root/cimv2")
    keys = {"Name": found["Name"].upper()}
    assert manager.get(CALLER, "Win32_OperatingSystem", keys).properties["Name"] == found["Name"]
    with pytest.raises(CimError) as caught:
        manager.get(CALLER, "Win32_OperatingSystem", {"Name": "Windows"})
    assert caught.value.status is CimStatus.NOT_FOUND


def test_every_namespace_is_listed(select: Select, namespaces: Namespaces) -> None:
    found = select("root/interop", "SELECT Name FROM CIM_Namespace")
    assert [one["Name"] for one in found] == list(namespaces.names)
    assert set(namespaces.names) == {
        *("root", "root/cimv2", "root/cimv2/rdms", "root/interop", "root/openrdms"),
        "root/cimv2/terminalservices",
    }
    for parent, children in (
        ("root", ["cimv2", "openrdms", "interop"]),
        ("root/cimv2", ["rdms", "terminalservices"]),
        ("root/interop", []),
    ):
        assert [one["Name"] for one in select(parent, "SELECT * FROM __Namespace")] == children


def test_brand_and_version(select: Select) -> None:
    (server,) = select("root/pg_interop", "SELECT * FROM CIM_ObjectManager")
    assert server["ElementName"] == "OpenRDMS"
    assert server["Description"].endswith(" version 1.2.3")
    assert server["SystemName"] == "broker.test"


@pytest.mark.parametrize("load", [schema.load_cimv2, schema.load_interop, schema.load_root])
def test_every_declared_class_is_offered_and_gives_declared_properties(
    load: Callable[[], Any], select: Select
) -> None:
    declared = load()
    for cim_class in declared.classes:
        for values in select(declared.namespace, f"SELECT * FROM {cim_class.name}"):
            for name, value in values.items():
                cim_class.get_property(name).check(value)
            assert all(values[key.name] is not None for key in cim_class.keys)


@pytest.mark.parametrize(
    "name", ["cimv2.mof", "interop.mof", "openrdms.mof", "terminalservices.mof"]
)
def test_pywbem_compiles_the_same_classes(name: str) -> None:
    place = Path(schema.__file__).parent
    connection = MOFWBEMConnection()
    compiler = pywbem.MOFCompiler(connection, log_func=None)
    for file in ("namespace.mof", name):
        compiler.compile_file(str(place / file), "test")
    ours = {
        "cimv2.mof": schema.load_cimv2,
        "interop.mof": schema.load_interop,
        "openrdms.mof": schema.load_openrdms,
        "terminalservices.mof": schema.load_terminal_services,
    }[name]()
    described = [
        (c.name, [(p.name, str(p.type), p.key) for p in c.properties]) for c in ours.classes
    ]
    assert described == [
        (c.classname, [(p.name, p.type, "Key" in p.qualifiers) for p in c.properties.values()])
        for c in connection.classes["test"].values()
    ]
