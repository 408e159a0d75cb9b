"""Rules of session collections and their servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.new_records import open_records
from openrdms.model import errors
from openrdms.model.session_host import (
    ServerState,
    SessionCollection,
    SessionCollectionType,
    SessionHost,
)
from openrdms.services.deployment import Deployment
from openrdms.services.session_hosts import SessionHosts

BROKER = "broker.example.org"
ONE = "one.example.org"
POOLED = SessionCollection("pool", "The pool")
PERSONAL = SessionCollection("own", "One each", SessionCollectionType.MANUAL_PERSONAL)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionHosts]:
    monkeypatch.setattr(socket, "getfqdn", lambda: BROKER)
    store = open_records(tmp_path / "records.sqlite")
    service = SessionHosts(store, Deployment(store))
    for collection in (POOLED, PERSONAL):
        service.create_collection(collection)
    yield service
    store.close()


@pytest.mark.parametrize(
    ("alias", "name", "field"),
    [
        ("", "x", "Alias"),
        (" x", "x", "Alias"),
        ("it's", "x", "Alias"),
        ("x", "", "Name"),
        ("x", "x ", "Name"),
        ("x", "two\nlines", "Name"),
        ("x", "x" * 257, "Name"),
    ],
)
def test_alias_and_name_are_what_clients_can_take(
    hosts: SessionHosts, alias: str, name: str, field: str
) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        hosts.create_collection(SessionCollection(alias, name))
    assert caught.value.field == field


def test_a_collection_changes(hosts: SessionHosts) -> None:
    hosts.modify_collection("OWN", type=SessionCollectionType.AUTO_PERSONAL, description="x")
    found = hosts.get_collection("Own")
    assert found == SessionCollection("own", "One each", SessionCollectionType.AUTO_PERSONAL, "x")


@pytest.mark.parametrize(
    ("alias", "kind"),
    [("pool", SessionCollectionType.AUTO_PERSONAL), ("own", SessionCollectionType.POOLED)],
)
def test_the_type_changes_between_the_personal_ones_only(
    hosts: SessionHosts, alias: str, kind: SessionCollectionType
) -> None:
    with pytest.raises(errors.InvalidParameter, match="Type"):
        hosts.modify_collection(alias, type=kind)
    with pytest.raises(errors.InvalidParameter, match="Name"):
        hosts.modify_collection(alias, name=" ")
    assert hosts.list_collections() == [PERSONAL, POOLED]


def test_a_collection_that_does_not_exist(hosts: SessionHosts) -> None:
    for call in (
        lambda: hosts.get_collection("nothing"),
        lambda: hosts.modify_collection("nothing", name="x"),
        lambda: hosts.delete_collection("nothing"),
        lambda: hosts.set_collection_property("nothing", "MaxMonitors", 1),
        lambda: hosts.compare_and_set_pair("nothing", "k", None, "v"),
    ):
        with pytest.raises(errors.NotFound):
            call()


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("MaxMonitors", 16, 17),
        ("DisconnectedSessionLimit", 0, -1),
        ("EncryptionLevel", 4, 5),
        ("BrokenConnectionAction", 2, 3),
        ("DeviceRedirectionOptions", 187, 512),
        ("MaxMonitors", 1, "1"),
        ("UserVHDShare", r"\\files\profiles", 5),
        ("SecurityDescriptor", "O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;S-1-1-0)", "D:(nonsense"),
    ],
)
def test_keys_take_values_of_their_kind_and_range(
    hosts: SessionHosts, key: str, good: int | str, bad: int | str
) -> None:
    hosts.set_collection_property("POOL", key.upper(), good)
    with pytest.raises(errors.InvalidParameter, match=key):
        hosts.set_collection_property("pool", key, bad)
    assert hosts.find_collection_property("Pool", key.lower()) == good


def test_keys_that_nobody_knows_take_anything(hosts: SessionHosts) -> None:
    hosts.create_server(ONE)
    for value in (-1, "text"):
        hosts.set_collection_property("pool", "Own", value)
        hosts.set_server_property(ONE, "Own", value)
        assert hosts.find_collection_property("pool", "own") == value
        assert hosts.find_server_property(ONE, "own") == value
    assert hosts.find_collection_property("own", "Own") is None


def test_an_empty_key_is_refused(hosts: SessionHosts) -> None:
    hosts.create_server(ONE)
    for call in (
        lambda: hosts.find_collection_property("pool", ""),
        lambda: hosts.set_collection_property("pool", "", 1),
        lambda: hosts.find_server_property(ONE, ""),
        lambda: hosts.set_server_property(ONE, "", 1),
        lambda: hosts.find_pair("pool", ""),
        lambda: hosts.compare_and_set_pair("pool", "", None, "v"),
        lambda: hosts.delete_pair("pool", ""),
    ):
        with pytest.raises(errors.InvalidParameter, match="Key"):
            call()


def test_what_goes_with_the_type_only(hosts: SessionHosts) -> None:
    with pytest.raises(errors.InvalidOperation, match="IsUserAdmin"):
        hosts.set_collection_property("pool", "isuseradmin", 1)
    with pytest.raises(errors.InvalidOperation, match="profile disks"):
        hosts.set_collection_property("own", "IsUserVHDEnabled", 1)
    hosts.set_collection_property("pool", "IsUserAdmin", 0)
    hosts.set_collection_property("own", "IsUserAdmin", 1)
    hosts.set_collection_property("own", "IsUserVHDEnabled", 0)
    hosts.set_collection_property("pool", "IsUserVHDEnabled", 1)


def test_a_server_has_this_broker_by_default(hosts: SessionHosts) -> None:
    hosts.create_server(ONE)
    assert hosts.get_server(ONE.upper()) == SessionHost(ONE, BROKER)
    hosts.modify_server(ONE, broker="other.example.org", collection="POOL")
    assert hosts.list_servers("pool") == [SessionHost(ONE, "other.example.org", "pool")]
    hosts.modify_server(ONE, broker="")
    assert hosts.get_server(ONE).broker == BROKER
    assert hosts.get_server(ONE).collection == "pool"


def test_this_broker_is_taken_by_whatever_name_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients put back what they read, and a machine need not be in a domain."""
    monkeypatch.setattr(socket, "getfqdn", lambda: "vm")
    store = open_records(tmp_path / "records.sqlite")
    hosts = SessionHosts(store, Deployment(store))

    hosts.create_server(ONE)
    hosts.modify_server(ONE, broker="VM")

    assert hosts.get_server(ONE).broker == "vm"
    with pytest.raises(errors.InvalidParameter):
        hosts.modify_server(ONE, broker="other")
    store.close()


@pytest.mark.parametrize("name", ["", "one", "one.", "one.example.", "a b.example", "-x.example"])
def test_servers_and_brokers_have_full_names(hosts: SessionHosts, name: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="Name"):
        hosts.create_server(name)
    if name:
        with pytest.raises(errors.InvalidParameter, match="ConnectionBroker"):
            hosts.create_server(ONE, broker=name)
    assert hosts.list_servers() == []


def test_a_server_is_in_one_collection_at_most(hosts: SessionHosts) -> None:
    hosts.create_server(ONE, collection="POOL")
    hosts.modify_server(ONE, collection="Pool")
    with pytest.raises(errors.InvalidOperation, match="'pool'"):
        hosts.modify_server(ONE, collection="own")
    hosts.modify_server(ONE, collection="")
    hosts.modify_server(ONE, collection="own")
    assert hosts.get_server(ONE).collection == "own"
    hosts.delete_server(ONE)
    hosts.delete_collection("own")


def test_states_that_do_not_exist_are_refused(hosts: SessionHosts) -> None:
    hosts.create_server(ONE)
    for comparand, state, field in ((6, 3, "Comparand"), (1, 0, "NewState"), (1, 77, "NewState")):
        with pytest.raises(errors.InvalidParameter) as caught:
            hosts.test_and_set_state(ONE, comparand, state)
        assert caught.value.field == field
    assert hosts.get_server(ONE).state is ServerState.UNKNOWN


def test_a_server_handed_out_waits_again_when_it_is_started_anew(hosts: SessionHosts) -> None:
    hosts.create_server(ONE)
    assert hosts.test_and_set_state(ONE, 1, 9) is ServerState.UNKNOWN
    assert hosts.take_pending_starts(0) == []
    assert hosts.take_pending_starts(1) == [ONE]
    assert hosts.test_and_set_state(ONE, 9, 9) is ServerState.STARTING
    assert hosts.take_pending_starts(1) == []
    hosts.test_and_set_state(ONE, 9, 4)
    hosts.test_and_set_state(ONE, 4, 9)
    assert hosts.take_pending_starts(1) == [ONE]
