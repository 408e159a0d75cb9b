"""Settings of the deployment and its environment by a stock client: life and refusals."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from conftest import ServiceFactory
from live.files import contents
from live.rollout import INVALID_OPERATION, INVALID_PARAMETER, NOT_FOUND
from live.service import Service
from live.wire import Answer, Text, Wire, fault

SETTINGS, ENVIRONMENT = "Win32_RDMSDeploymentSettings", "Win32_RDMSEnvironment"
NOT_SUPPORTED = 0x8004100C
PRIMARY, SECONDARY = "DatabaseConnectionString", "DatabaseSecondaryConnectionString"
SECRET = "hunter2-s3cret"
SHARED = f"Driver=ODBC;Server=one;Uid=rds;Pwd={SECRET};Database=rds"
OTHER = SHARED.replace("one", "two")
DEDICATED = f"Server=one;Trusted_Connection=Yes;App={SECRET};Database=rds"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("settings")
    return running_service(place / "state", f"simulator://{place}/cluster?hosts=1")


@pytest.fixture(scope="module")
def wire(service: Service) -> Wire:
    return service.wire()


def call(wire: Wire, method: str, **inputs: Text) -> Answer:
    answer = wire.invoke(SETTINGS, method, **inputs)
    assert SECRET not in answer.reason
    assert bool(answer.return_value) == bool(answer.reason)
    return answer


def assert_unset(wire: Wire, method: str, **inputs: Text) -> None:
    with fault() as unset:
        call(wire, method, **inputs)
    assert unset.code == NOT_FOUND


# keys


@pytest.mark.parametrize(
    ("kind", "key", "good", "bad"),
    [
        ("Int32", "DeploymentGatewayUsage", "3", "4"),
        ("Int32", "DeploymentGatewayAuthMode", "4", "3"),
        ("Int32", "DeploymentGatewayUseCachedCreds", "0", "-1"),
        ("String", "DeploymentGatewayName", "gate.corp.example", "gate"),
        ("String", "DeploymentExternalGatewayName", "gate.corp.example", "gate."),
    ],
)
def test_a_key_is_set_read_and_removed(
    wire: Wire, kind: str, key: str, good: str, bad: str
) -> None:
    assert_unset(wire, f"Get{kind}Property", Key=key)
    for value, code in ((good, 0), (bad, INVALID_PARAMETER), (None, INVALID_PARAMETER)):
        assert call(wire, f"Set{kind}Property", Key=key, Value=value).return_value == code
    array = call(wire, "SetStringArrayDeploymentSetting", Key=key, Value=["a", "b"])
    assert array.return_value == INVALID_PARAMETER
    assert call(wire, f"Get{kind}Property", Key=key.upper()).outputs == {"Value": good}
    assert_unset(wire, "GetStringArrayDeploymentSetting", Key=key)
    assert call(wire, "RemoveDeploymentSetting", Key=key.lower()).return_value == 0
    assert call(wire, "RemoveDeploymentSetting", Key=key).return_value == NOT_FOUND
    assert_unset(wire, f"Get{kind}Property", Key=key)


def test_a_key_has_one_value(wire: Wire) -> None:
    call(wire, "SetInt32Property", Key="Own", Value="-5")
    call(wire, "SetStringProperty", Key="OWN", Value="five")
    assert_unset(wire, "GetInt32Property", Key="Own")
    call(wire, "SetStringArrayDeploymentSetting", Key="own", Value=["one", "", "<three>"])
    assert_unset(wire, "GetStringProperty", Key="Own")
    got = call(wire, "GetStringArrayDeploymentSetting", Key="Own")
    assert got.outputs == {"Value": ["one", "", "<three>"]}
    null = call(wire, "SetStringArrayDeploymentSetting", Key="Own", Value=["one", None])
    assert null.return_value == INVALID_PARAMETER
    assert call(wire, "RemoveDeploymentSetting", Key="Own").return_value == 0


@pytest.mark.parametrize("key", ["", None])
def test_a_key_is_needed(wire: Wire, key: Text) -> None:
    for method, values in (
        ("GetInt32Property", {}),
        ("GetStringProperty", {}),
        ("GetStringArrayDeploymentSetting", {}),
        ("SetInt32Property", {"Value": "1"}),
        ("SetStringProperty", {"Value": "1"}),
        ("SetStringArrayDeploymentSetting", {"Value": ["1", "2"]}),
        ("RemoveDeploymentSetting", {}),
    ):
        answer = call(wire, method, Key=key, **values)
        assert answer.return_value == INVALID_PARAMETER
        assert "Key" in answer.reason


# directories


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("BaseVHDPath", "images"),
        ("DiffVHDPath", "desktops"),
        ("ExportPath", "images"),
        ("SMBPath", None),
    ],
)
def test_a_directory_is_set_and_removed(
    service: Service, wire: Wire, tmp_path: Path, name: str, default: str | None
) -> None:
    def assert_default() -> None:
        if default is None:
            assert_unset(wire, f"Get{name}")
        else:
            got = call(wire, f"Get{name}")
            assert got.outputs == {"DirectoryPath": str(service.state_dir / default)}

    assert_default()
    for path in ("", None, "here", r"\\files\share", "/nowhere/at/all", "/etc/hostname"):
        refused = call(wire, f"Set{name}", DirectoryPath=path)
        assert refused.return_value == INVALID_PARAMETER
        assert "DirectoryPath" in refused.reason
    assert_default()
    assert call(wire, f"Set{name}", DirectoryPath=str(tmp_path)).return_value == 0
    assert call(wire, f"Get{name}").outputs == {"DirectoryPath": str(tmp_path)}
    assert call(wire, "RemoveDeploymentSetting", Key=name).return_value == 0
    assert_default()


# connection strings


def test_connection_strings_live(service: Service, wire: Wire) -> None:
    def get(name: str) -> Text:
        answer = call(wire, f"Get{name}")
        assert answer.return_value == 0
        return answer.outputs[name]

    def put(name: str, value: Text) -> int:
        return call(wire, f"Set{name}", **{name: value}).return_value

    assert call(wire, "GetStringProperty", Key=PRIMARY.upper()).outputs == {"Value": None}
    assert (get("ConnectionString"), get("SecondaryConnectionString")) == (None, None)
    assert_unset(wire, "GetStringProperty", Key=SECONDARY)
    assert put("SecondaryConnectionString", OTHER) == INVALID_OPERATION
    for text in ("", None, SECRET, f"Pwd={SECRET}", f"Pwd={SECRET}\t;Database=rds"):
        for name in ("ConnectionString", "SecondaryConnectionString"):
            assert put(name, text) == INVALID_PARAMETER
        refused = call(wire, "SetStringProperty", Key=PRIMARY, Value=text)
        assert refused.return_value == INVALID_PARAMETER
    assert put("ConnectionString", DEDICATED) == 0
    assert put("SecondaryConnectionString", OTHER) == INVALID_OPERATION
    assert call(wire, "SetStringProperty", Key=PRIMARY.lower(), Value=SHARED).return_value == 0
    assert put("SecondaryConnectionString", OTHER.replace("=rds", "=no")) == INVALID_OPERATION
    assert put("SecondaryConnectionString", OTHER) == 0
    assert put("ConnectionString", DEDICATED) == INVALID_OPERATION
    assert (get("ConnectionString"), get("SecondaryConnectionString")) == (SHARED, OTHER)
    assert call(wire, "GetStringProperty", Key=SECONDARY).outputs == {"Value": OTHER}
    assert call(wire, "RemoveDeploymentSetting", Key=PRIMARY).return_value == NOT_SUPPORTED
    assert call(wire, "RemoveDeploymentSetting", Key=SECONDARY).return_value == 0
    assert get("SecondaryConnectionString") is None
    service.restart()
    again = call(service.wire(), "GetConnectionString")
    assert again.outputs == {"ConnectionString": SHARED}
    assert_kept_nowhere_else(service)


def assert_kept_nowhere_else(service: Service) -> None:
    """The secret is in the settings, which nobody else may read, and in no log."""
    records = service.state_dir / "records.sqlite"
    assert records.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(f"{records.as_uri()}?mode=ro", uri=True)) as database:
        dump = [line for line in database.iterdump() if 'INTO "settings"' not in line]
    assert SECRET not in "\n".join(dump)
    for file, content in contents(service.state_dir):
        assert file.name.startswith(records.name) or SECRET.encode() not in content, file


# environment


@pytest.fixture
def environment(service: Service) -> Wire:
    return service.wire()


def test_the_active_server_can_be_set(environment: Wire) -> None:
    before = environment.invoke(ENVIRONMENT, "GetActiveServer").outputs["ServerName"]
    assert environment.invoke(ENVIRONMENT, "SetActiveServer").return_value == 0
    recorded = call(environment, "GetStringProperty", Key="ActiveServer").outputs
    assert recorded == {"Value": before}
    assert environment.invoke(ENVIRONMENT, "GetActiveServer").outputs == {"ServerName": before}
    for method, values in (
        ("SetStringProperty", {"Value": "x.y"}),
        ("RemoveDeploymentSetting", {}),
    ):
        refused = call(environment, method, Key="activeserver", **values)
        assert refused.return_value == INVALID_OPERATION


def test_the_client_access_name_is_one_value(environment: Wire) -> None:
    def get() -> Text:
        answer = environment.invoke(ENVIRONMENT, "GetClientAccessName")
        return answer.outputs["ClientAccessName"]

    def put(name: Text) -> int:
        answer = environment.invoke(ENVIRONMENT, "SetClientAccessName", ClientAccessName=name)
        return answer.return_value

    own = environment.invoke(ENVIRONMENT, "GetActiveServer").outputs["ServerName"]
    key = "DeploymentRedirectorServer"
    assert get() == own
    assert_unset(environment, "GetStringProperty", Key=key)
    for name in ("", None, "desk", "desk.", "de sk.example", "-desk.example"):
        assert put(name) == INVALID_PARAMETER
    assert get() == own
    assert put("desk.corp.example") == 0
    assert call(environment, "GetStringProperty", Key=key).outputs == {"Value": "desk.corp.example"}
    call(environment, "SetStringProperty", Key=key, Value="other.corp.example")
    assert get() == "other.corp.example"
    assert call(environment, "RemoveDeploymentSetting", Key=key).return_value == 0
    assert get() == own
