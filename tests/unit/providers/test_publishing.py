"""Published applications, file types and management data through the object manager."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.guards import OpenGuard
from fakes.new_records import open_records
from openrdms import ports
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.object_manager import ObjectManager
from openrdms.cim.provider import Caller
from openrdms.cim.types import CimValue
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.publishing import MAX_ICON
from openrdms.model.session_host import SessionCollection
from openrdms.providers.rdms.file_type_association import FileTypeAssociation
from openrdms.providers.rdms.management_data import ManagementData
from openrdms.providers.rdms.published_application import PublishedApplication
from openrdms.providers.schema import load_rdms
from openrdms.services.publishing import Publishing

CALLER = Caller("admin", "127.0.0.1", "administrator")
APPLICATION = PublishedApplication.cim_class
FILE_TYPE = FileTypeAssociation.cim_class
MANAGEMENT = ManagementData.cim_class
NOT_FOUND = 0x80041002
Values = Mapping[str, CimValue]

LEAST: Values = {
    "AppAlias": "calc",
    "PoolName": "FARM",
    "DisplayName": "Calculator",
    "AppPath": "/usr/bin/calc",
}
WHOLE: Values = {
    "AppAlias": "calc",
    "PoolName": "farm",
    "DisplayName": "Calculator",
    "ShowInPortal": False,
    "SecurityDescriptor": "D:(A;;GA;;;S-1-1-0)",
    "AppPath": "/usr/bin/calc",
    "VirtualPath": "/virtual/calc",
    "CommandLineSetting": 2,
    "RequiredCommandLine": "--now",
    "Folder": "Office",
    "IconPath": "/icons/calc.ico",
    "IconIndex": -3,
    "IconContents": [0, 1, 255],
}
TYPE: Values = {
    "AppAlias": "calc",
    "PoolName": "farm",
    "ExtName": ".ods",
    "ProgIdHint": "Calc.8",
    "IconPath": "/icons/ods.ico",
    "IconIndex": 1,
    "IconContents": [7],
    "IsPrimaryHandler": True,
    "IsPublished": True,
}
APP_KEYS: Values = {"AppAlias": "calc", "PoolName": "farm"}
TYPE_KEYS: Values = APP_KEYS | {"ExtName": ".ods"}


@dataclass(frozen=True)
class Service:
    """The three classes over real records, with a collection of either kind."""

    store: ports.Store
    manager: ObjectManager

    def create(self, name: str, values: Values) -> Values:
        return self.manager.create(CALLER, name, values)

    def get(self, name: str, keys: Values) -> Values:
        return self.manager.get(CALLER, name, keys).properties

    def put(self, name: str, keys: Values, changes: Values) -> None:
        self.manager.modify(CALLER, name, keys, changes)

    def list(self, name: str, where: Values | None = None) -> list[Values]:
        found = self.manager.enumerate(CALLER, name, where or {})  # type: ignore[arg-type]
        return [item.properties for item in found]

    def synchronize(self, **given: CimValue) -> int:
        method = "SynchronizePublishingData" if given else "SynchronizeAllPublishingData"
        return self.manager.invoke(CALLER, MANAGEMENT, method, {}, given).return_value


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    store = open_records(tmp_path / "records.sqlite")
    store.create_collection(Collection("farm", "The farm", CollectionType.POOLED, is_managed=True))
    store.create_session_collection(SessionCollection("rdsh", "Session hosts"))
    publishing = Publishing(store)
    offered = (
        PublishedApplication(publishing),
        FileTypeAssociation(publishing),
        ManagementData(publishing),
    )
    providers = {provider.cim_class: provider for provider in offered}
    yield Service(store, ObjectManager(load_rdms(), providers, OpenGuard()))
    store.close()


def refused(call: Callable[[], object]) -> tuple[CimStatus, list[str]]:
    with pytest.raises(CimError) as caught:
        call()
    return caught.value.status, list(caught.value.names)


def test_what_is_left_out_has_a_default(service: Service) -> None:
    assert service.create(APPLICATION, LEAST) == APP_KEYS
    assert service.get(APPLICATION, {"AppAlias": "CALC", "PoolName": "Farm"}) == {
        "AppAlias": "calc",
        "PoolName": "farm",
        "DisplayName": "Calculator",
        "ShowInPortal": True,
        "SecurityDescriptor": None,
        "AppPath": "/usr/bin/calc",
        "VirtualPath": "/usr/bin/calc",
        "CommandLineSetting": 0,
        "RequiredCommandLine": None,
        "Folder": None,
        "IconPath": None,
        "IconIndex": 0,
        "IconContents": None,
    }
    service.create(FILE_TYPE, TYPE_KEYS)
    assert service.get(FILE_TYPE, TYPE_KEYS) == dict.fromkeys(TYPE) | TYPE_KEYS | {
        "IconIndex": 0,
        "IsPrimaryHandler": False,
        "IsPublished": False,
    }


def test_everything_given_is_kept(service: Service) -> None:
    service.create(APPLICATION, WHOLE)
    service.create(FILE_TYPE, TYPE)
    assert service.get(APPLICATION, APP_KEYS) == WHOLE
    assert service.get(FILE_TYPE, TYPE_KEYS) == TYPE


def test_a_whole_instance_may_be_sent_back(service: Service) -> None:
    service.create(APPLICATION, LEAST)
    service.create(FILE_TYPE, TYPE)
    service.put(APPLICATION, APP_KEYS, WHOLE)
    service.put(FILE_TYPE, TYPE_KEYS, dict(TYPE) | {"IsPublished": False, "IconContents": None})
    assert service.get(APPLICATION, APP_KEYS) == WHOLE
    assert service.get(FILE_TYPE, TYPE_KEYS) == dict(TYPE) | {
        "IsPublished": False,
        "IconContents": None,
    }
    with pytest.raises(CimError, match="ProgIdHint is read-only"):
        service.put(FILE_TYPE, TYPE_KEYS, {"ProgIdHint": "Other"})


def test_blanks_take_things_away(service: Service) -> None:
    service.create(APPLICATION, WHOLE)
    blanks = dict.fromkeys(("SecurityDescriptor", "RequiredCommandLine", "Folder"), " ")
    service.put(APPLICATION, APP_KEYS, blanks | {"VirtualPath": ""})
    found = service.get(APPLICATION, APP_KEYS)
    assert {name: found[name] for name in blanks} == dict.fromkeys(blanks)
    assert found["VirtualPath"] == "/usr/bin/calc"


def test_lists_may_be_narrowed(service: Service) -> None:
    service.create(APPLICATION, LEAST)
    service.create(APPLICATION, LEAST | {"PoolName": "rdsh"})
    service.create(FILE_TYPE, TYPE)
    service.create(FILE_TYPE, TYPE | {"PoolName": "rdsh"})
    assert [one["PoolName"] for one in service.list(APPLICATION)] == ["farm", "rdsh"]
    assert [one["PoolName"] for one in service.list(FILE_TYPE)] == ["farm", "rdsh"]
    for name in (APPLICATION, FILE_TYPE):
        assert [one["PoolName"] for one in service.list(name, {"PoolName": "RDSH"})] == ["rdsh"]
    assert service.list(FILE_TYPE, {"PoolName": "rdsh", "AppAlias": "other"}) == []


def test_deleting_takes_file_types_along(service: Service) -> None:
    service.create(APPLICATION, LEAST)
    service.create(FILE_TYPE, TYPE)
    service.create(FILE_TYPE, TYPE | {"ExtName": ".xls"})
    service.manager.delete(CALLER, FILE_TYPE, TYPE_KEYS)
    assert [one["ExtName"] for one in service.list(FILE_TYPE)] == [".xls"]
    service.manager.delete(CALLER, APPLICATION, APP_KEYS)
    assert service.list(FILE_TYPE) == []
    assert service.list(APPLICATION) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AppAlias", "a/b"),
        ("PoolName", "nowhere"),
        ("DisplayName", ""),
        ("DisplayName", None),
        ("AppPath", None),
        ("CommandLineSetting", 3),
        ("Folder", ".."),
        ("IconContents", [1, None]),
        ("IconContents", [0] * (MAX_ICON + 1)),
        ("SecurityDescriptor", "D:(A;;GA;;;DU)"),
    ],
)
def test_what_is_refused_for_an_application(service: Service, name: str, value: CimValue) -> None:
    status, names = refused(lambda: service.create(APPLICATION, LEAST | {name: value}))
    assert (status, names) == (CimStatus.INVALID_PARAMETER, [name])
    assert service.list(APPLICATION) == []
    service.create(APPLICATION, LEAST)
    before = service.list(APPLICATION)
    if name not in APP_KEYS:
        status, names = refused(lambda: service.put(APPLICATION, APP_KEYS, {name: value}))
        assert (status, names) == (CimStatus.INVALID_PARAMETER, [name])
        assert service.list(APPLICATION) == before


@pytest.mark.parametrize(
    ("name", "value", "names"),
    [
        ("AppAlias", "none", ["AppAlias"]),
        ("PoolName", "nowhere", ["AppAlias"]),
        ("ExtName", "", ["ExtName"]),
        ("IconContents", [None], ["IconContents"]),
        ("ProgIdHint", "a\nb", ["ProgIdHint"]),
    ],
)
def test_what_is_refused_for_a_file_type(
    service: Service, name: str, value: CimValue, names: list[str]
) -> None:
    service.create(APPLICATION, LEAST)
    found = refused(lambda: service.create(FILE_TYPE, TYPE | {name: value}))
    assert found == (CimStatus.INVALID_PARAMETER, names)
    assert service.list(FILE_TYPE) == []


def test_what_is_there_or_is_not(service: Service) -> None:
    service.create(APPLICATION, LEAST)
    service.create(FILE_TYPE, TYPE)
    for name, values in ((APPLICATION, LEAST), (FILE_TYPE, TYPE)):
        again = dict(values) | {"AppAlias": "CALC"}
        assert refused(lambda n=name, v=again: service.create(n, v))[0] is CimStatus.ALREADY_EXISTS
    for name, keys in ((APPLICATION, APP_KEYS), (FILE_TYPE, TYPE_KEYS)):
        absent = dict(keys) | {"PoolName": "rdsh"}
        for call in (
            lambda n=name, k=absent: service.get(n, k),
            lambda n=name, k=absent: service.put(n, k, {"IconIndex": 1}),
            lambda n=name, k=absent: service.manager.delete(CALLER, n, k),
        ):
            assert refused(call)[0] is CimStatus.NOT_FOUND


def test_synchronising(service: Service) -> None:
    for context in ("", None, "FARM", "rdsh"):
        assert service.synchronize(Context=context) == 0
    assert service.synchronize() == 0
    assert service.synchronize(Context="nowhere") == NOT_FOUND
