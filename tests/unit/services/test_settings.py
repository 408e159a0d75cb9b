"""Settings of the deployment and its environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.new_records import open_records
from openrdms import ports
from openrdms.model import errors
from openrdms.model.member import Member
from openrdms.services.deployment import Deployment
from openrdms.services.settings import Directory, Settings

BROKER = "broker.example.org"
PRIMARY, SECONDARY = "DatabaseConnectionString", "DatabaseSecondaryConnectionString"
SHARED = "Server=one;Uid=rds;Pwd=s3cret;Database=rds"
OTHER = "Server=two;Uid=rds;Pwd=s3cret;Database=RDS"
DEDICATED = "Server=one;Trusted_Connection=yes;Database=rds"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ports.Store]:
    store = open_records(tmp_path / "records.sqlite")
    yield store
    store.close()


@pytest.fixture
def settings(store: ports.Store) -> Settings:
    return Settings(store, {Directory.EXPORT: Path("/by/itself")})


@pytest.fixture
def deployment(store: ports.Store, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(socket, "getfqdn", lambda: BROKER)
    return Deployment(store)


# keys


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("DeploymentGatewayUsage", 3, 4),
        ("DeploymentGatewayAuthMode", 4, 2),
        ("DeploymentGatewayUseCachedCreds", 1, 2),
        ("DeploymentGatewayName", "gate.example.org", "gate"),
        ("DeploymentGatewayName", "", 1),
        ("DeploymentExternalGatewayName", "gate.example.org", "no name"),
        ("DeploymentRedirectorServer", "desk.example.org", "desk."),
        ("Shadow", 4, 1),
    ],
)
def test_keys_take_values_of_their_kind_and_range(
    settings: Settings, key: str, good: int | str, bad: int | str
) -> None:
    settings.set(key, good)
    for value in (bad, ("array",)):
        with pytest.raises(errors.InvalidParameter, match=key):
            settings.set(key, value)
    assert settings.find(key.upper()) == good
    settings.remove(key.lower())
    assert settings.find(key) is None


def test_a_key_has_one_value_of_whatever_kind(settings: Settings) -> None:
    for value in (1, "one", ("one", "two"), ()):
        settings.set("Own", value)
        assert settings.find("OWN") == value


def test_what_is_not_set_cannot_be_removed(settings: Settings) -> None:
    for key in ("Own", PRIMARY, SECONDARY, "ExportPath"):
        with pytest.raises(errors.NotFound, match=key):
            settings.remove(key)


def test_an_empty_key_is_refused(settings: Settings) -> None:
    for call in (
        lambda: settings.find(""),
        lambda: settings.set("", 1),
        lambda: settings.set("", ("a",)),
        lambda: settings.remove(""),
    ):
        with pytest.raises(errors.InvalidParameter, match="Key"):
            call()


# directories


def test_a_directory_replaces_the_default_until_it_is_removed(
    settings: Settings, tmp_path: Path
) -> None:
    assert settings.find_directory(Directory.EXPORT) == "/by/itself"
    settings.set_directory(Directory.EXPORT, str(tmp_path))
    assert settings.find_directory(Directory.EXPORT) == str(tmp_path)
    assert settings.find("exportpath") == str(tmp_path)
    settings.remove("ExportPath")
    assert settings.find_directory(Directory.EXPORT) == "/by/itself"
    assert settings.find_directory(Directory.SMB) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "not an absolute path"),
        ("exports", "not an absolute path"),
        (r"\\files\exports", "is a share"),
        ("//files/exports", "is a share"),
        ("C:\\exports", "not an absolute path"),
        ("/nowhere/at/all", "no directory"),
        ("/etc/hostname", "no directory"),
        ("/tmp\0/x", "no directory"),
        ("/" + "x" * 5000, "no directory"),
        ("/\ud800", "no directory"),
    ],
)
@pytest.mark.parametrize("directory", Directory)
def test_a_directory_must_be_there(
    settings: Settings, directory: Directory, path: str, reason: str
) -> None:
    before = settings.find_directory(directory)
    with pytest.raises(errors.InvalidParameter, match=reason) as caught:
        settings.set_directory(directory, path)
    assert caught.value.field == "DirectoryPath"
    with pytest.raises(errors.InvalidParameter, match="Value"):
        settings.set(directory.upper(), path)
    for value in (5, ("/tmp",)):
        with pytest.raises(errors.InvalidParameter, match="Key"):
            settings.set(directory, value)
    assert settings.find_directory(directory) == before


def test_a_directory_must_take_files(settings: Settings) -> None:
    """Not even root writes to what the kernel shows of itself."""
    with pytest.raises(errors.InvalidParameter, match="may not write"):
        settings.set_directory(Directory.SMB, "/proc/self/task" if os.getuid() else "/proc/sys")


# connection strings


def test_both_strings_are_kept(settings: Settings) -> None:
    settings.set(PRIMARY, SHARED)
    settings.set(SECONDARY.upper(), OTHER)
    settings.set(PRIMARY, OTHER)
    assert (settings.find(PRIMARY), settings.find(SECONDARY)) == (OTHER, OTHER)
    settings.remove(SECONDARY)
    settings.set(PRIMARY, DEDICATED)
    with pytest.raises(errors.NotSupported, match=PRIMARY):
        settings.remove(PRIMARY.lower())
    assert settings.find(PRIMARY) == DEDICATED


@pytest.mark.parametrize(
    ("present", "key", "value"),
    [
        ({}, SECONDARY, SHARED),
        ({PRIMARY: DEDICATED}, SECONDARY, SHARED),
        ({PRIMARY: SHARED}, SECONDARY, DEDICATED),
        ({PRIMARY: SHARED}, SECONDARY, SHARED.replace("=rds;", "=x;").replace("=rds", "=other")),
        ({PRIMARY: SHARED, SECONDARY: OTHER}, PRIMARY, DEDICATED),
    ],
)
def test_strings_that_do_not_go_together(
    settings: Settings, present: dict[str, str], key: str, value: str
) -> None:
    for name, text in present.items():
        settings.set(name, text)
    with pytest.raises(errors.InvalidOperation) as caught:
        settings.set(key, value)
    assert "s3cret" not in str(caught.value)
    assert settings.find(key) == present.get(key)


def test_a_shared_database_is_not_moved_by_telling_so(store: ports.Store) -> None:
    own = "Server=db;Database=rdms;UID=rdms;Pwd=********"
    settings = Settings(store, {}, own)
    settings.set(PRIMARY, "Pwd=********;UID=rdms;Database=rdms;Server=db")
    with pytest.raises(errors.InvalidParameter, match="--database"):
        settings.set(PRIMARY, own.replace("=db", "=other"))
    with pytest.raises(errors.InvalidOperation, match="--database"):
        settings.set(SECONDARY, own.replace("=db", "=other"))
    assert (settings.find(PRIMARY), settings.find(SECONDARY)) == (own, None)


@pytest.mark.parametrize("key", [PRIMARY, SECONDARY])
@pytest.mark.parametrize("value", ["", "s3cret", "Pwd=s3cret", "Pwd=s3cret\x01;Database=rds", 5])
def test_what_is_no_connection_string(settings: Settings, key: str, value: str | int) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        settings.set(key, value, field="ConnectionString")
    assert caught.value.field == ("Key" if value == 5 else "ConnectionString")
    assert "s3cret" not in str(caught.value)
    assert settings.find(key) is None


# environment


def test_one_of_several_services_is_the_active_one(
    store: ports.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: BROKER)
    began = datetime(2026, 3, 1, tzinfo=UTC)

    def member(number: int, name: str) -> Member:
        return Member(f"{number:016x}", name, "", "1", began, began)

    live = [member(1, "first.example.org"), member(2, BROKER), member(3, "Third.example.org")]
    deployment = Deployment(store, lambda: live)
    assert deployment.list_brokers() == [BROKER, "first.example.org", "Third.example.org"]
    assert deployment.active_server() == "first.example.org"
    deployment.activate()
    assert deployment.active_server() == BROKER
    live.remove(live[1])
    assert deployment.active_server() == "first.example.org"
    live.append(member(4, BROKER.upper()))
    assert deployment.active_server() == BROKER.upper()
    assert deployment.list_brokers() == [BROKER, "first.example.org", "Third.example.org"]


def test_this_machine_is_the_active_server(deployment: Deployment, settings: Settings) -> None:
    assert deployment.active_server() == BROKER
    assert settings.find("ActiveServer") is None
    deployment.activate()
    assert deployment.active_server() == settings.find("ActiveServer") == BROKER
    for call in (
        lambda: settings.set("activeserver", "other.example.org"),
        lambda: settings.set("ActiveServer", ("other.example.org",)),
        lambda: settings.remove("ActiveServer"),
    ):
        with pytest.raises(errors.InvalidOperation, match="read-only"):
            call()


def test_the_client_access_name_is_a_key_too(deployment: Deployment, settings: Settings) -> None:
    assert deployment.client_access_name() == BROKER
    deployment.set_client_access_name("desk.example.org")
    assert settings.find("DeploymentRedirectorServer") == "desk.example.org"
    settings.set("deploymentredirectorserver", "other.example.org")
    assert deployment.client_access_name() == "other.example.org"
    settings.remove("DeploymentRedirectorServer")
    assert deployment.client_access_name() == BROKER


@pytest.mark.parametrize("name", ["", "desk", "desk.", "de sk.example"])
def test_the_client_access_name_is_a_full_name(deployment: Deployment, name: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="ClientAccessName"):
        deployment.set_client_access_name(name)
    assert deployment.client_access_name() == BROKER
