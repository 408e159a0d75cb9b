"""What collections publish, as a stock client does it over the wire: full lives and refusals."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import ServiceFactory
from live.rollout import COLLECTION, INVALID_PARAMETER, NOT_FOUND, create_collection
from live.service import Service, rdms
from live.wire import Text, Wire, fault

APPLICATION = "Win32_RDMSPublishedApplication"
FILE_TYPE = "Win32_RDMSFileTypeAssociation"
MANAGEMENT = "Win32_RDMSManagementData"
PROPERTIES = "Win32_RDMSCollectionProperties"
ALREADY_EXISTS, INVALID_OPERATION = 0x80041019, 0x80041016
STOCK_DESCRIPTOR = "O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;S-1-5-32-545)"

_numbers = itertools.count()

CALC: dict[str, Text] = {
    "AppAlias": "calc",
    "DisplayName": "Calculator",
    "AppPath": r"C:\Windows\System32\calc.exe",
    "ShowInPortal": "true",
    "Folder": None,
    "CommandLineSetting": "0",
    "RequiredCommandLine": " ",
    "IconPath": r"C:\Windows\System32\calc.exe",
    "IconIndex": "0",
    "IconContents": ["0", "0", "1", "0"],
    "SecurityDescriptor": " ",
}
ODS: dict[str, Text] = {"AppAlias": "calc", "ExtName": ".ods", "ProgIdHint": "Calc.8"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("publishing")
    return running_service(place / "state", f"simulator://{place}/cluster?hosts=1")


@pytest.fixture(scope="module")
def wire(service: Service) -> Wire:
    return service.wire()


@pytest.fixture
def farm(wire: Wire, request: pytest.FixtureRequest) -> str:
    """A managed collection of its own for each test, gone afterwards."""
    alias = f"farm{next(_numbers)}"
    create_collection(wire, alias)
    request.addfinalizer(lambda: wire.delete(COLLECTION, Alias=alias))
    return alias


def feed(service: Service, alias: str, *options: str) -> list[dict[str, Any]]:
    rows = rdms("feed", "--state-dir", service.state_dir, *options)
    return [row for row in rows if row["collection"] == alias]


def test_the_life_of_an_application(service: Service, wire: Wire, farm: str) -> None:
    keys = {"AppAlias": "calc", "PoolName": farm}
    assert wire.create(APPLICATION, CALC | {"PoolName": farm.upper()}) == keys
    found = wire.get(APPLICATION, **keys)
    assert found["VirtualPath"] == CALC["AppPath"]
    assert found["IconContents"] == ["0", "0", "1", "0"]
    assert (found["SecurityDescriptor"], found["RequiredCommandLine"]) == (None, None)
    assert wire.enumerate(APPLICATION, f"PoolName='{farm}' AND AppAlias='CALC'") == [found]

    changed = wire.put(
        APPLICATION,
        found | {"DisplayName": "Sums", "Folder": "Office", "CommandLineSetting": "1"},
        **keys,
    )
    assert (changed["DisplayName"], changed["Folder"]) == ("Sums", "Office")
    [row] = feed(service, farm)
    assert (row["application"], row["title"], row["command_line"]) == ("calc", "Sums", None)

    wire.delete(APPLICATION, **keys)
    assert wire.enumerate(APPLICATION, f"PoolName='{farm}'") == []
    assert [row["kind"] for row in feed(service, farm)] == ["desktop"]
    with fault() as gone:
        wire.get(APPLICATION, **keys)
    assert gone.subcode == "DestinationUnreachable"


def test_the_life_of_a_file_type(service: Service, wire: Wire, farm: str) -> None:
    wire.create(APPLICATION, CALC | {"PoolName": farm})
    keys = {"AppAlias": "calc", "PoolName": farm, "ExtName": ".ods"}
    assert wire.create(FILE_TYPE, ODS | {"PoolName": farm}) == keys
    [found] = wire.enumerate(FILE_TYPE, f"PoolName='{farm}' and ExtName='.ODS'")
    assert (found["ProgIdHint"], found["IsPublished"]) == ("Calc.8", "false")
    assert feed(service, farm)[0]["file_types"] == []

    wire.put(FILE_TYPE, found | {"IsPublished": "true", "IconContents": ["9"]}, **keys)
    assert feed(service, farm)[0]["file_types"] == [".ods"]
    assert wire.get(FILE_TYPE, **keys)["IconContents"] == "9"

    wire.delete(FILE_TYPE, **keys)
    assert feed(service, farm)[0]["file_types"] == []
    wire.create(FILE_TYPE, ODS | {"PoolName": farm})
    wire.delete(APPLICATION, AppAlias="calc", PoolName=farm)
    assert wire.enumerate(FILE_TYPE, f"PoolName='{farm}'") == []


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"PoolName": "nowhere"}, INVALID_PARAMETER, "PoolName"),
        ({"AppAlias": "a*b"}, INVALID_PARAMETER, "AppAlias"),
        ({"DisplayName": "x" * 257}, INVALID_PARAMETER, "DisplayName"),
        ({"Folder": "a/b"}, INVALID_PARAMETER, "Folder"),
        ({"CommandLineSetting": "7"}, INVALID_PARAMETER, "CommandLineSetting"),
        ({"SecurityDescriptor": "D:(A;;GA;;;DU)"}, INVALID_PARAMETER, "character 12"),
        ({"AppPath": None}, INVALID_PARAMETER, "AppPath"),
    ],
)
def test_applications_that_are_refused(
    wire: Wire, farm: str, changes: dict[str, Text], code: int, words: str
) -> None:
    with fault() as refused:
        wire.create(APPLICATION, CALC | {"PoolName": farm} | changes)
    assert refused.code == code
    assert words in refused.text
    assert wire.enumerate(APPLICATION) == []


def test_what_is_there_already_or_not_yet(wire: Wire, farm: str) -> None:
    with fault() as early:
        wire.create(FILE_TYPE, ODS | {"PoolName": farm})
    assert (early.code, "AppAlias" in early.text) == (INVALID_PARAMETER, True)
    for name, values in ((APPLICATION, CALC), (FILE_TYPE, ODS)):
        wire.create(name, values | {"PoolName": farm})
        with fault() as again:
            wire.create(name, values | {"PoolName": farm})
        assert again.code == ALREADY_EXISTS
    with fault() as read_only:
        wire.put(FILE_TYPE, {"ProgIdHint": "x"}, AppAlias="calc", PoolName=farm, ExtName=".ods")
    assert "ProgIdHint is read-only" in read_only.text


def test_synchronising_brings_back_what_was_lost(service: Service, wire: Wire, farm: str) -> None:
    whole = feed(service, farm)
    for call in (
        lambda: wire.invoke(MANAGEMENT, "SynchronizeAllPublishingData"),
        lambda: wire.invoke(MANAGEMENT, "SynchronizePublishingData", Context=farm),
        lambda: wire.invoke(MANAGEMENT, "SynchronizePublishingData", Context=""),
        lambda: wire.invoke(MANAGEMENT, "SynchronizePublishingData", Context=None),
    ):
        lose_feed(service.state_dir)
        assert feed(service, farm) == []
        assert call().return_value == 0
        [row] = feed(service, farm)
        assert row | {"modified": ""} == whole[0] | {"modified": ""}
    absent = wire.invoke(MANAGEMENT, "SynchronizePublishingData", Context="nowhere")
    assert (absent.return_value, "nowhere" in absent.reason) == (NOT_FOUND, True)


def lose_feed(state_dir: Path) -> None:
    with closing(sqlite3.connect(state_dir / "records.sqlite", timeout=10)) as records, records:
        records.execute("DELETE FROM feed")


def test_a_desktop_is_not_published_beside_applications(wire: Wire, farm: str) -> None:
    wire.put(COLLECTION, {"ShowInPortal": "false"}, Alias=farm)
    wire.create(APPLICATION, CALC | {"PoolName": farm})
    with fault() as refused:
        wire.put(COLLECTION, {"ShowInPortal": "true"}, Alias=farm)
    assert (refused.code, "ShowInPortal" in refused.text) == (INVALID_OPERATION, True)
    wire.delete(APPLICATION, AppAlias="calc", PoolName=farm)
    assert wire.put(COLLECTION, {"ShowInPortal": "true"}, Alias=farm)["ShowInPortal"] == "true"


def test_who_may_use_a_collection(service: Service, wire: Wire, farm: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("a long enough password\n")
    place = ("--state-dir", service.state_dir)
    for name, groups in ((f"{farm}-ann", ["--group", farm]), (f"{farm}-bob", [])):
        options = ("--role", "user", "--password-file", password)
        rdms("user", "add", name, *groups, *options, *place)

    def may(name: str) -> tuple[bool, bool]:
        verdict = rdms("collection", "access", farm, "--user", f"{farm}-{name}", *place)
        return verdict["allowed"], bool(feed(service, farm, "--user", f"{farm}-{name}"))

    assert (may("ann"), may("bob")) == ((False, False), (False, False))
    login = (
        *("--ready-file", service.state_dir / "ready.json", "--user", "admin"),
        *("--ca", service.state_dir / "tls" / "certificate.pem"),
        *("--password-file", service.state_dir / "admin-password"),
    )
    rdms("collection", "set", farm, "--user-group", farm, *place, *login)
    assert (may("ann"), may("bob")) == ((True, True), (False, False))
    [entry] = rdms("collection", "access", farm, *place)
    assert (entry["allow"], entry["name"]) == (True, farm)
    shown = str(wire.get(COLLECTION, Alias=farm)["SecurityDescriptor"])
    assert shown == STOCK_DESCRIPTOR.replace("S-1-5-32-545", entry["sid"])
    made = ("--image", "image:tiny", "--count", "1", "--user-group", "everyone")
    rdms("collection", "create", f"{farm}-new", *made, "--wait", *place, *login)
    verdict = rdms("collection", "access", f"{farm}-new", "--user", f"{farm}-bob", *place)
    assert verdict == {"allowed": True, "reason": "(A;CIOI;CCLCSWLORCGR;;;S-1-1-0)"}
    rdms("collection", "delete", f"{farm}-new", "--desktops", *login)
    wire.put(COLLECTION, {"SecurityDescriptor": STOCK_DESCRIPTOR}, Alias=farm)
    assert (may("ann"), may("bob")) == ((False, False), (False, False))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SecurityDescriptor", "O:WDG:WDD:ARP"),
        ("SecurityDescriptor", "everybody"),
        ("VmFarmSettings", "<Farm />"),
        ("UserVHDSetting", "<UVHDTemplateSetting><DiskSize>5</DiskSize></UVHDTemplateSetting>"),
        ("IconContents", ["256"]),
        ("Type", "2"),
        ("IsManaged", "false"),
        ("IsUserAdmin", "true"),
    ],
)
def test_changes_of_a_collection_that_are_refused(
    wire: Wire, farm: str, name: str, value: Text
) -> None:
    before = wire.get(COLLECTION, Alias=farm)
    with fault() as refused:
        wire.put(COLLECTION, {name: value}, Alias=farm)
    assert name in refused.text
    assert wire.get(COLLECTION, Alias=farm) == before


def test_property_keys(wire: Wire, farm: str) -> None:
    def put(key: str, value: str, kind: str = "Int32") -> int:
        method = f"Set{kind}Property"
        return wire.invoke(COLLECTION, method, {"Alias": farm}, Key=key, Value=value).return_value

    def read(key: str, kind: str = "Int32") -> Text:
        method = f"Get{kind}Property"
        return wire.invoke(COLLECTION, method, {"Alias": farm}, Key=key).outputs["Value"]

    assert read("ExportInProgress", "String") == ""
    for key, value in (("DeviceRedirectionOptions", "187"), ("MaxMonitors", "2"), ("New", "-5")):
        assert (put(key, value), read(key.upper())) == (0, value)
    assert put("MaxMonitors", "2", "String") == INVALID_PARAMETER
    assert put("ExportInProgress", "2") == INVALID_PARAMETER
    assert put("RedirectClientPrinter", "2") == INVALID_PARAMETER
    assert put("CollectionState", "2") == INVALID_OPERATION
    assert put("ProvisioningJobId", "{}", "String") == INVALID_OPERATION
    assert (read("MaxMonitors"), read("CollectionState")) == ("2", "0")


def test_the_reference_desktop_of_a_collection(wire: Wire, farm: str) -> None:
    changes: dict[str, Text] = {
        "ReferenceVirtualDesktopName": "gold",
        "ReferenceVirtualDesktopRamsizeMB": "4096",
        "ReferenceVirtualDesktopRemoteFX": "true",
        "ReferenceVirtualDesktopAdapters": ["one", "two"],
    }
    found = wire.put(PROPERTIES, changes, Alias=farm.upper())
    assert {name: found[name] for name in changes} == changes
    assert found["ReferenceVirtualDesktopHost"] is None
    assert wire.get(PROPERTIES, Alias=farm) == found
    with fault() as refused:
        wire.put(PROPERTIES, {"Alias": "other"}, Alias=farm)
    assert "Alias" in refused.text
