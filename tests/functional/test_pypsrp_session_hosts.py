"""Session collections, servers and desktop assignments by a stock client: life and refusals."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from conftest import ServiceFactory
from live.rollout import (
    COLLECTION,
    INVALID_OPERATION,
    INVALID_PARAMETER,
    NOT_FOUND,
    create_collection,
)
from live.service import Service
from live.wire import Text, Wire, fault

HOSTS, SERVER = "Win32_RDSHCollection", "Win32_RDSHServer"
ASSIGNMENT = "Win32_RDMSDesktopAssignment"
ALREADY_EXISTS = 0x80041019
SDDL = "O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;S-1-1-0)"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("session-hosts")
    return running_service(place / "state", f"simulator://{place}/cluster?hosts=1")


@pytest.fixture(scope="module")
def wire(service: Service) -> Wire:
    return service.wire()


@pytest.fixture
def pooled(wire: Wire) -> Iterator[str]:
    yield from make_collection(wire, {})


@pytest.fixture
def personal(wire: Wire) -> Iterator[str]:
    yield from make_collection(wire, {"Type": "4"})


@pytest.fixture
def server(wire: Wire) -> Iterator[str]:
    """A server in no collection."""
    yield from make_server(wire)


@pytest.fixture
def desktop(wire: Wire, personal: str) -> Iterator[str]:
    """A server of the personal collection."""
    yield from make_server(wire, CollectionAlias=personal)


def make_collection(wire: Wire, properties: dict[str, Text]) -> Iterator[str]:
    alias = f"c{uuid4().hex[:8]}"
    wire.create(HOSTS, {"Alias": alias, "Name": f"Hosts {alias}", **properties})
    yield alias
    wire.delete(HOSTS, Alias=alias)


def make_server(wire: Wire, **properties: Text) -> Iterator[str]:
    name = f"rdsh-{uuid4().hex[:8]}.corp.example"
    assert wire.create(SERVER, {"Name": name, **properties}) == {"Name": name}
    yield name
    wire.delete(SERVER, Name=name)


# collections


def test_a_collection_lives(wire: Wire) -> None:
    made = wire.create(HOSTS, {"Alias": "Life", "Name": "Life & <death>", "Type": None})

    assert made == {"Alias": "Life"}
    assert wire.get(HOSTS, Alias="LIFE") == {
        "Alias": "Life",
        "Name": "Life & <death>",
        "Description": None,
        "Type": "0",
    }
    changed = wire.put(HOSTS, {"Description": "for tests", "Name": "Life"}, Alias="life")
    assert (changed["Name"], changed["Description"]) == ("Life", "for tests")
    assert changed in wire.enumerate(HOSTS)
    assert wire.enumerate(HOSTS, "name = 'LIFE'") == [changed]
    wire.put(HOSTS, {"Description": None}, Alias="Life")
    assert wire.get(HOSTS, Alias="Life")["Description"] is None
    wire.delete(HOSTS, Alias="life")
    with fault() as absent:
        wire.get(HOSTS, Alias="Life")
    assert (absent.subcode, absent.code) == ("DestinationUnreachable", 2150858752)


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"Name": "x"}, INVALID_PARAMETER),
        ({"Alias": "x"}, INVALID_PARAMETER),
        ({"Alias": "", "Name": "x"}, INVALID_PARAMETER),
        ({"Alias": "x", "Name": None}, INVALID_PARAMETER),
        ({"Alias": "x", "Name": "x", "Type": "1"}, INVALID_PARAMETER),
        ({"Alias": "x", "Name": "x", "Type": "2"}, INVALID_PARAMETER),
        ({"Alias": "x", "Name": "x", "Type": "-1"}, 0),
    ],
)
def test_a_collection_that_cannot_be_made(
    wire: Wire, properties: dict[str, Text], code: int
) -> None:
    before = wire.enumerate(HOSTS)
    with fault() as refused:
        wire.create(HOSTS, properties)
    assert not code or refused.code == code
    assert wire.enumerate(HOSTS) == before


def test_names_are_unique_over_both_kinds(wire: Wire, pooled: str) -> None:
    create_collection(wire, "Farm", managed=False)
    taken = [
        (HOSTS, {"Alias": pooled.upper(), "Name": "free"}),
        (HOSTS, {"Alias": "free", "Name": f"HOSTS {pooled}"}),
        (HOSTS, {"Alias": "FARM", "Name": "free"}),
        (HOSTS, {"Alias": "free", "Name": "collection FARM"}),
        (COLLECTION, {"Alias": "free", "Name": f"HOSTS {pooled}", "Type": "2"}),
        (COLLECTION, {"Alias": pooled, "Name": "free", "Type": "2"}),
    ]
    for cim_class, properties in taken:
        with fault() as exists:
            wire.create(cim_class, properties)
        assert (exists.subcode, exists.code) == ("AlreadyExists", ALREADY_EXISTS)
    with fault() as exists:
        wire.put(HOSTS, {"Name": "Collection Farm"}, Alias=pooled)
    assert exists.subcode == "AlreadyExists"
    wire.delete(COLLECTION, Alias="Farm")


def test_the_type_changes_between_the_personal_ones(wire: Wire, pooled: str, personal: str) -> None:
    assert wire.put(HOSTS, {"Type": "5"}, Alias=personal)["Type"] == "5"
    for alias, kind in ((pooled, "4"), (personal, "0"), (personal, None), (personal, "3")):
        with fault() as refused:
            wire.put(HOSTS, {"Type": kind}, Alias=alias)
        assert refused.code == INVALID_PARAMETER
        assert "Type" in refused.text


def test_a_collection_with_servers_is_not_deleted(wire: Wire, personal: str, desktop: str) -> None:
    with fault() as refused:
        wire.delete(HOSTS, Alias=personal)
    assert refused.code == INVALID_OPERATION
    assert desktop in refused.text
    assert wire.get(HOSTS, Alias=personal)


def test_what_a_collection_publishes_goes_with_it(wire: Wire) -> None:
    application = "Win32_RDMSPublishedApplication"
    where = "PoolName = 'publisher'"
    wire.create(HOSTS, {"Alias": "publisher", "Name": "Publisher"})
    wire.create(
        application,
        {
            "AppAlias": "calc",
            "PoolName": "publisher",
            "DisplayName": "Calculator",
            "AppPath": "/usr/bin/calc",
        },
    )
    assert len(wire.enumerate(application, where)) == 1
    wire.delete(HOSTS, Alias="publisher")
    assert wire.enumerate(application, where) == []
    wire.create(HOSTS, {"Alias": "publisher", "Name": "Publisher"})
    assert wire.enumerate(application, where) == []
    wire.delete(HOSTS, Alias="publisher")


def test_property_keys_of_a_collection(wire: Wire, pooled: str) -> None:
    def invoke(method: str, **values: Text) -> tuple[int, dict[str, Text], str]:
        answer = wire.invoke(HOSTS, method, {"Alias": pooled.upper()}, **values)
        return answer.return_value, answer.outputs, answer.reason

    for method, key, value in (
        ("Int32", "MaxMonitors", "16"),
        ("Int32", "ActiveSessionLimit", "3600000"),
        ("String", "SecurityDescriptor", SDDL),
        ("String", "UserVHDShare", r"\\files\profiles"),
        ("String", "Note", ""),
        ("Int32", "Note", "-7"),
    ):
        assert invoke(f"Set{method}Property", Key=key, Value=value)[0] == 0
        got = invoke(f"Get{method}Property", Key=key.lower())
        assert got == (0, {"Value": value}, "")
    for method, key, bad in (
        ("Int32", "MaxMonitors", "17"),
        ("Int32", "SecurityDescriptor", "1"),
        ("String", "MaxMonitors", "16"),
        ("String", "SecurityDescriptor", "D:(nonsense"),
        ("String", "", "x"),
        ("String", "Note", None),
        ("String", None, "x"),
    ):
        code, _, reason = invoke(f"Set{method}Property", Key=key, Value=bad)
        assert code == INVALID_PARAMETER
        assert reason
    for method, key in (("Int32", "Unset"), ("String", "MaxMonitors"), ("String", "Note")):
        with fault() as unset:
            invoke(f"Get{method}Property", Key=key)
        assert unset.code == NOT_FOUND
    assert invoke("GetInt32Property", Key="MaxMonitors")[1] == {"Value": "16"}
    assert invoke("SetInt32Property", Key="IsUserAdmin", Value="1")[0] == INVALID_OPERATION


@pytest.mark.parametrize(
    ("cim_class", "keys", "method", "inputs"),
    [
        (HOSTS, {"Alias": "nowhere"}, "GetInt32Property", {"Key": "MaxMonitors"}),
        (HOSTS, {"Alias": "nowhere"}, "KeyValueGet", {"Key": "k"}),
        (SERVER, {"Name": "no.where"}, "SetInt32Property", {"Key": "DrainMode", "Value": "1"}),
        (SERVER, {"Name": "no.where"}, "TestAndSetState", {"Comparand": "1", "NewState": "3"}),
    ],
)
def test_a_method_on_nothing_is_a_fault(
    wire: Wire, cim_class: str, keys: dict[str, str], method: str, inputs: dict[str, str]
) -> None:
    with fault() as absent:
        wire.invoke(cim_class, method, keys, **inputs)
    assert (absent.subcode, absent.code) == ("DestinationUnreachable", NOT_FOUND)
    with fault() as keyless:
        wire.invoke(cim_class, method, **inputs)
    assert keyless.subcode == "InvalidSelectors"


# key/value pairs


def test_pairs_are_compared_set_and_deleted(wire: Wire, pooled: str) -> None:
    def exchange(comparand: Text, value: Text, key: Text = "Lock") -> tuple[int, Text]:
        answer = wire.invoke(
            HOSTS,
            "KeyValueCompareAndSet",
            {"Alias": pooled},
            Key=key,
            NewValue=value,
            Comparand=comparand,
        )
        return answer.return_value, answer.outputs.get("InitialValue")

    def get() -> Text:
        return wire.invoke(HOSTS, "KeyValueGet", {"Alias": pooled}, Key="LOCK").outputs["Value"]

    assert exchange("anything", "one") == (0, None)
    assert exchange(None, "two") == (0, "one")
    assert exchange("ONE", "two") == (0, "one")
    assert get() == "one"
    assert exchange("one", "") == (0, "one")
    assert get() == ""
    for key, value in (("", "x"), (None, "x"), ("Lock", None)):
        assert exchange("", value, key)[0] == INVALID_PARAMETER
    assert get() == ""
    assert wire.invoke(HOSTS, "KeyValueDelete", {"Alias": pooled}, Key="lock").return_value == 0
    assert (
        wire.invoke(HOSTS, "KeyValueDelete", {"Alias": pooled}, Key="lock").return_value
        == NOT_FOUND
    )
    with fault() as unset:
        get()
    assert unset.code == NOT_FOUND
    with fault() as no_property:
        wire.invoke(HOSTS, "GetStringProperty", {"Alias": pooled}, Key="Lock")
    assert no_property.code == NOT_FOUND


def test_clients_that_count_together_lose_nothing(service: Service, pooled: str) -> None:
    def count(client: Wire) -> None:
        keys = {"Alias": pooled}
        seen: Text = "0"
        for _ in range(10):
            while True:
                given = {"Key": "n", "NewValue": str(int(str(seen)) + 1), "Comparand": seen}
                answer = client.invoke(HOSTS, "KeyValueCompareAndSet", keys, **given)
                was, seen = seen, answer.outputs["InitialValue"]
                if was == seen:
                    break

    wires = [service.wire() for _ in range(4)]
    given = {"Key": "n", "NewValue": "0", "Comparand": None}
    wires[0].invoke(HOSTS, "KeyValueCompareAndSet", {"Alias": pooled}, **given)
    with ThreadPoolExecutor(len(wires)) as threads:
        list(threads.map(count, wires))
    answer = wires[0].invoke(HOSTS, "KeyValueGet", {"Alias": pooled}, Key="n")
    assert answer.outputs["Value"] == "40"


# servers


def test_a_server_lives(wire: Wire, pooled: str, server: str) -> None:
    broker = wire.invoke("Win32_RDMSEnvironment", "GetActiveServer").outputs["ServerName"]
    expected = {
        "Name": server,
        "ConnectionBroker": broker,
        "CollectionAlias": "",
        "ServerState": "1",
    }
    assert wire.get(SERVER, Name=server.upper()) == expected
    assert expected in wire.enumerate(SERVER, "CollectionAlias = ''")
    member = wire.put(SERVER, {"CollectionAlias": pooled.upper()}, Name=server)
    assert member == expected | {"CollectionAlias": pooled}
    assert wire.enumerate(SERVER, f"collectionalias = '{pooled}'") == [member]
    assert wire.enumerate(SERVER, f"Name = '{server.upper()}'") == [member]
    for changes in ({"CollectionAlias": None}, {"ConnectionBroker": "rdcb.corp.example"}):
        wire.put(SERVER, changes, Name=server)
    assert wire.get(SERVER, Name=server) == expected | {"ConnectionBroker": "rdcb.corp.example"}


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({}, "Name"),
        ({"Name": "short"}, "Name"),
        ({"Name": "dot.at.end."}, "Name"),
        ({"Name": "new.corp.example", "CollectionAlias": "nowhere"}, "CollectionAlias"),
        ({"Name": "new.corp.example", "ConnectionBroker": "short"}, "ConnectionBroker"),
    ],
)
def test_a_server_that_cannot_be_made(wire: Wire, properties: dict[str, Text], field: str) -> None:
    before = wire.enumerate(SERVER)
    with fault() as refused:
        wire.create(SERVER, properties)
    assert refused.code == INVALID_PARAMETER
    assert field in refused.text
    assert wire.enumerate(SERVER) == before


def test_a_server_is_in_one_collection_at_most(
    wire: Wire, pooled: str, personal: str, desktop: str
) -> None:
    with fault() as member:
        wire.put(SERVER, {"CollectionAlias": pooled}, Name=desktop)
    assert member.code == INVALID_OPERATION
    with fault() as nowhere:
        wire.put(SERVER, {"CollectionAlias": "nowhere"}, Name=desktop)
    assert nowhere.code == INVALID_OPERATION
    with fault() as exists:
        wire.create(SERVER, {"Name": desktop.upper()})
    assert exists.subcode == "AlreadyExists"
    with fault() as read_only:
        wire.put(SERVER, {"ServerState": "3"}, Name=desktop)
    assert "ServerState" in read_only.text
    found = wire.get(SERVER, Name=desktop)
    assert (found["CollectionAlias"], found["ServerState"]) == (personal, "1")


def test_property_keys_of_a_server(wire: Wire, server: str) -> None:
    for key, good, bad in (
        ("DrainMode", "2", "3"),
        ("RelativeWeight", "100", "-1"),
        ("SessionLimit", "999999", "-1"),
    ):
        for value, code in ((good, 0), (bad, INVALID_PARAMETER)):
            answer = wire.invoke(SERVER, "SetInt32Property", {"Name": server}, Key=key, Value=value)
            assert answer.return_value == code
        got = wire.invoke(SERVER, "GetInt32Property", {"Name": server.upper()}, Key=key.upper())
        assert got.outputs == {"Value": good}
    text = wire.invoke(SERVER, "SetStringProperty", {"Name": server}, Key="DrainMode", Value="1")
    assert text.return_value == INVALID_PARAMETER
    with fault() as unset:
        wire.invoke(SERVER, "GetStringProperty", {"Name": server}, Key="DrainMode")
    assert unset.code == NOT_FOUND


# states and starts


def change_state(wire: Wire, server: str, comparand: int, state: int) -> tuple[int, Text]:
    answer = wire.invoke(
        SERVER,
        "TestAndSetState",
        {"Name": server},
        Comparand=str(comparand),
        NewState=str(state),
    )
    return answer.return_value, answer.outputs.get("InitState")


def take(wire: Wire, most: int) -> list[str]:
    answer = wire.invoke(SERVER, "GetPendingStartServerList", maxServers=str(most))
    assert answer.return_value == 0
    names = answer.outputs.get("ServerFQDNs") or []
    return [names] if isinstance(names, str) else list(names)


def test_the_state_is_set_when_it_is_the_comparand(wire: Wire, server: str) -> None:
    for comparand, state, initial in ((3, 9, "1"), (1, 3, "1"), (3, 7, "3"), (7, 7, "7")):
        assert change_state(wire, server, comparand, state) == (0, initial)
    for comparand, state in ((7, 6), (7, 0), (7, 77), (77, 3)):
        assert change_state(wire, server, comparand, state)[0] == INVALID_PARAMETER
    assert wire.get(SERVER, Name=server)["ServerState"] == "7"


def test_what_awaits_its_start_is_handed_out_once(wire: Wire) -> None:
    makers = [make_server(wire) for _ in range(3)]
    names = [next(maker) for maker in makers]
    assert take(wire, 100) == []
    for name in names:
        assert change_state(wire, name, 1, 9) == (0, "1")
    change_state(wire, names[1], 9, 8)
    assert take(wire, 0) == []
    assert take(wire, 1) == [names[0]]
    assert take(wire, 2**32 - 1) == [names[2]]
    assert take(wire, 100) == []
    assert change_state(wire, names[1], 8, 9) == (0, "8")
    assert take(wire, 100) == [names[1]]
    unlimited = wire.invoke(SERVER, "GetPendingStartServerList", maxServers=None)
    assert unlimited.return_value == INVALID_PARAMETER
    for maker in makers:
        next(maker, None)


def test_clients_that_drain_together_get_each_server_once(service: Service) -> None:
    wires = [service.wire() for _ in range(4)]
    makers = [make_server(wires[0]) for _ in range(12)]
    names = [next(maker) for maker in makers]
    for name in names:
        change_state(wires[0], name, 1, 9)

    def drain(client: Wire) -> list[str]:
        return list(itertools.chain.from_iterable(iter(lambda: take(client, 1), [])))

    with ThreadPoolExecutor(len(wires)) as threads:
        taken = [name for part in threads.map(drain, wires) for name in part]
    assert sorted(taken) == sorted(names)
    for maker in makers:
        next(maker, None)


# assignments


def assign(wire: Wire, method: str, alias: Text, desktop: Text, domain: Text, user: Text) -> int:
    return wire.invoke(
        ASSIGNMENT,
        f"{method}DesktopAssignment",
        CollectionAlias=alias,
        DesktopName=desktop,
        UserDomain=domain,
        UserName=user,
    ).return_value


def test_a_desktop_is_assigned_and_taken_away(wire: Wire, personal: str, desktop: str) -> None:
    assert assign(wire, "Add", personal.upper(), desktop.upper(), "CORP", "Ann") == 0
    made = {
        "CollectionAlias": personal,
        "DesktopName": desktop,
        "UserName": "Ann",
        "UserDomain": "CORP",
    }
    for where in (
        f"CollectionAlias='{personal}' AND UserName='ANN' AND UserDomain='corp'",
        f"CollectionAlias='{personal}' AND desktopname='{desktop}'",
        "UserName='ann' AND UserDomain='CORP'",
        f"DesktopName='{desktop}'",
        f"CollectionAlias='{personal}'",
        "UserName LIKE 'a%'",
    ):
        assert wire.enumerate(ASSIGNMENT, where) == [made]
    assert wire.get(ASSIGNMENT, **made) == made
    assert wire.put(ASSIGNMENT, made, **made) == made
    for method, remove in (("user", ("", "CORP", "ANN")), ("desktop", (desktop, None, None))):
        assert assign(wire, "Remove", personal, *remove) == 0, method
        assert assign(wire, "Remove", personal, *remove) == NOT_FOUND
        assert assign(wire, "Add", personal, desktop, "CORP", "ann") == 0
    wire.put(SERVER, {"CollectionAlias": ""}, Name=desktop)
    assert wire.enumerate(ASSIGNMENT) == []


def test_what_cannot_be_assigned(
    wire: Wire, pooled: str, personal: str, desktop: str, server: str
) -> None:
    wire.put(SERVER, {"CollectionAlias": pooled}, Name=server)
    spare = make_server(wire, CollectionAlias=personal)
    other = next(spare)
    assert assign(wire, "Add", personal, desktop, "CORP", "ann") == 0
    for alias, name, domain, user, code in (
        ("nowhere", other, "CORP", "bob", NOT_FOUND),
        (personal, "nobody.corp.example", "CORP", "bob", NOT_FOUND),
        (pooled, server, "CORP", "bob", INVALID_OPERATION),
        (personal, server, "CORP", "bob", INVALID_OPERATION),
        (personal, desktop, "CORP", "ann", ALREADY_EXISTS),
        (personal, other, "corp", "ANN", ALREADY_EXISTS),
        (personal, desktop, "CORP", "bob", ALREADY_EXISTS),
        ("", other, "CORP", "bob", INVALID_PARAMETER),
        (personal, "", "CORP", "bob", INVALID_PARAMETER),
        (personal, other, "", "bob", INVALID_PARAMETER),
        (personal, other, "CORP", None, INVALID_PARAMETER),
        (personal, other, "CORP", "CORP\\bob", INVALID_PARAMETER),
    ):
        assert assign(wire, "Add", alias, name, domain, user) == code
    assert [one["UserName"] for one in wire.enumerate(ASSIGNMENT)] == ["ann"]
    for alias, name, domain, user, code in (
        (personal, "", "", "", INVALID_PARAMETER),
        (personal, None, None, None, INVALID_PARAMETER),
        (personal, None, None, "ann", INVALID_PARAMETER),
        ("", desktop, "CORP", "ann", INVALID_PARAMETER),
        ("nowhere", desktop, "", "", NOT_FOUND),
        (personal, other, "", "", NOT_FOUND),
        (personal, desktop, "CORP", "bob", NOT_FOUND),
    ):
        assert assign(wire, "Remove", alias, name, domain, user) == code
    assert [one["UserName"] for one in wire.enumerate(ASSIGNMENT)] == ["ann"]
    next(spare, None)


def test_instances_are_made_and_deleted_by_the_same_rules(
    wire: Wire, personal: str, desktop: str
) -> None:
    ann = {
        "CollectionAlias": personal,
        "DesktopName": desktop,
        "UserName": "ann",
        "UserDomain": "CORP",
    }
    assert wire.create(ASSIGNMENT, ann) == ann
    for changes, code in (
        ({}, ALREADY_EXISTS),
        ({"UserName": ""}, INVALID_PARAMETER),
        ({"DesktopName": "nobody.corp.example"}, NOT_FOUND),
    ):
        with fault() as refused:
            wire.create(ASSIGNMENT, ann | changes)
        assert refused.code == code
    for changes in ({"UserName": "bob"}, {"UserName": "", "UserDomain": ""}, {"DesktopName": ""}):
        with fault() as absent:
            wire.delete(ASSIGNMENT, **(ann | changes))
        assert absent.code == 2150858752
    wire.delete(ASSIGNMENT, **ann)
    assert wire.enumerate(ASSIGNMENT) == []


def test_records_survive_a_restart(service: Service, wire: Wire) -> None:
    wire.create(HOSTS, {"Alias": "kept", "Name": "Kept", "Type": "5"})
    wire.create(SERVER, {"Name": "kept.corp.example", "CollectionAlias": "kept"})
    change_state(wire, "kept.corp.example", 1, 9)
    assert assign(wire, "Add", "kept", "kept.corp.example", "CORP", "ann") == 0
    service.restart()
    again = service.wire()
    assert again.get(HOSTS, Alias="kept")["Type"] == "5"
    assert take(again, 5) == ["kept.corp.example"]
    assert len(again.enumerate(ASSIGNMENT, "CollectionAlias='kept'")) == 1
