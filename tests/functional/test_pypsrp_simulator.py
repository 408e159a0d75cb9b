"""Every WS-Management operation by pypsrp's raw client, against a service on the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pypsrp.exceptions import AuthenticationError

from conftest import ServiceFactory
from live.rollout import COLLECTION, DESKTOP, SESSION, begin_create, create_collection, follow
from live.service import Service
from live.wire import DMTF, WINDOWS, Wire, fault, read, read_selectors

NODE = "Win32_RDMSJoinedNode"
PROPERTIES = "Win32_RDMSCollectionProperties"
DIRECTORY = "Win32_SessionDirectorySessionEx"
CIMV2 = WINDOWS.replace("/rdms/", "/")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("operations")
    cluster = f"simulator://{place}/cluster?hosts=4&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5"
    return running_service(place / "state", cluster, options=["--allow-unencrypted"])


@pytest.fixture(
    scope="module",
    params=[("https", WINDOWS), ("https", DMTF), ("http", WINDOWS)],
    ids=["https, Windows URIs", "https, DMTF URIs", "plain http on loopback"],
)
def wire(service: Service, request: pytest.FixtureRequest) -> Wire:
    scheme, family = request.param
    return Wire(service.client(scheme), family)


@pytest.fixture(scope="module")
def pool(service: Service) -> list[str]:
    """A collection ``pool`` of 25 desktops; their names."""
    wire = service.wire()
    report = follow(wire, begin_create(wire, "pool", 25))
    assert report.state == "JOB_COMPLETED"
    return sorted(report.statuses)


@pytest.fixture
def alias(wire: Wire) -> Iterator[str]:
    """An unmanaged collection."""
    create_collection(wire, "Loose", managed=False)
    yield "Loose"
    wire.delete(COLLECTION, Alias="Loose")


def test_create_answers_with_a_reference_that_works(wire: Wire) -> None:
    made = wire.create(COLLECTION, {"Alias": "Fresh", "Name": "Fresh & <new>", "Type": "2"})

    assert made == {"Alias": "Fresh"}
    assert wire.get(COLLECTION, **made)["Name"] == "Fresh & <new>"
    wire.delete(COLLECTION, **made)
    with fault() as absent:
        wire.get(COLLECTION, **made)
    assert absent.subcode == "DestinationUnreachable"


def test_create_of_what_exists_is_a_fault(wire: Wire, alias: str) -> None:
    with fault() as exists:
        create_collection(wire, alias.upper(), managed=False)

    assert exists.subcode == "AlreadyExists"


def test_get_finds_keys_and_classes_in_any_case(wire: Wire, alias: str) -> None:
    assert wire.get(COLLECTION, Alias=alias)["Name"] == f"Collection {alias}"
    found = wire.get(COLLECTION.upper(), alias=alias.lower())
    assert found["Alias"] == alias


def test_put_changes_what_it_names_and_nothing_else(wire: Wire, alias: str) -> None:
    changed = wire.put(COLLECTION, {"CollectionDescription": "for tests"}, Alias=alias)

    assert changed["CollectionDescription"] == "for tests"
    assert wire.get(COLLECTION, Alias=alias)["Name"] == f"Collection {alias}"
    wire.put(COLLECTION, {"CollectionDescription": None}, Alias=alias)
    assert wire.get(COLLECTION, Alias=alias)["CollectionDescription"] is None


def test_values_come_in_the_shape_of_windows(wire: Wire, alias: str) -> None:
    found = wire.get(COLLECTION, Alias=alias)

    assert (found["IsManaged"], found["ShowInPortal"]) == ("false", "true")
    assert found["Type"] == "1"
    assert found["UserVHDSetting"] is None


def test_an_enumeration_comes_in_pages(wire: Wire, pool: list[str]) -> None:
    pages = list(wire.pages(DESKTOP, size=7))

    assert [len(page.items) for page in pages] == [7, 7, 7, 4]
    assert sorted(str(read(item)["Name"]) for page in pages for item in page.items) == pool
    contexts = [page.context for page in pages]
    assert len(set(contexts)) == len(contexts), "every pull gives a new context"
    assert [page.ended for page in pages] == [False, False, False, True]
    assert contexts[-1] == ""


def test_an_enumeration_that_is_not_optimised_begins_with_the_first_pull(
    wire: Wire, pool: list[str]
) -> None:
    first, *others = wire.pages(DESKTOP, size=20, first=False)

    assert (first.items, first.ended) == ([], False)
    assert [len(page.items) for page in others] == [20, 5]


def test_a_context_serves_once(wire: Wire, pool: list[str]) -> None:
    context = wire.open(DESKTOP, size=3).context
    wire.pull(DESKTOP, context)

    with fault() as used:
        wire.pull(DESKTOP, context)
    assert used.subcode == "InvalidEnumerationContext"


def test_a_released_enumeration_is_gone(wire: Wire, pool: list[str]) -> None:
    context = wire.open(DESKTOP, size=3).context
    wire.release(DESKTOP, context)

    with fault() as released:
        wire.pull(DESKTOP, context)
    assert released.subcode == "InvalidEnumerationContext"


def test_references_lead_to_their_instances(wire: Wire, pool: list[str]) -> None:
    pages = list(wire.pages(DESKTOP, mode="EnumerateEPR", size=10))
    keys = [read_selectors(item) for page in pages for item in page.items]

    assert sorted(key["Name"] for key in keys) == pool
    assert wire.get(DESKTOP, **keys[-1])["Name"] == keys[-1]["Name"]


def test_objects_come_with_their_references(wire: Wire, pool: list[str]) -> None:
    [page] = wire.pages(DESKTOP, mode="EnumerateObjectAndEPR")

    assert len(page.items) == len(pool)
    for instance, reference in page.items:
        assert read(instance)["Name"] == read_selectors(reference)["Name"]


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("CollectionAlias = 'POOL'", 25),
        ("name LIKE 'Pool-_'", 9),
        ("Name LIKE '%-2[0-3]' AND CollectionAlias = 'pool'", 4),
        ("Name = 'pool-1' OR Name = 'POOL-2'", 2),
        ("NOT Name LIKE 'pool-1%'", 14),
        ("HostName = 'host1.sim.local' AND Status = 2", 7),
        ("UserDomain != null and UserName != null", 0),
        ("VMState <> 2", 0),
    ],
)
def test_wql_chooses(wire: Wire, pool: list[str], condition: str, count: int) -> None:
    assert len(wire.enumerate(DESKTOP, condition)) == count


def test_a_wql_query_comes_in_pages_too(wire: Wire, pool: list[str]) -> None:
    query = f"select * from {DESKTOP} where Name like 'pool-%'"

    assert [len(page.items) for page in wire.pages(DESKTOP, query, size=10)] == [10, 10, 5]


def test_a_projection_gives_the_properties_asked_for(wire: Wire, pool: list[str]) -> None:
    [page] = wire.pages(DESKTOP, f"select HostName, Name from {DESKTOP} where Name = 'pool-3'")

    [row] = page.items
    assert set(read(row)) == {"Name", "HostName"}


def test_wql_that_cannot_be_read_is_a_fault(wire: Wire) -> None:
    with fault() as broken:
        wire.open(DESKTOP, f"select * from {DESKTOP} where Name ~ 'x'")

    assert broken.subcode == "CannotProcessFilter"


def test_static_methods_need_no_keys_and_accept_them(wire: Wire, service: Service) -> None:
    count = wire.invoke(NODE, "GetJoinedNodeCount", roleType="4")
    with_keys = wire.invoke(NODE, "GetJoinedNodeCount", {"FQDN": "host1.sim.local"}, roleType="4")
    active = wire.invoke("Win32_RDMSEnvironment", "GetActiveServer")

    assert count.outputs == with_keys.outputs == {"Count": "4"}
    assert active.return_value == 0
    assert active.outputs["ServerName"]


def test_instance_methods_need_keys(wire: Wire, alias: str) -> None:
    with fault() as keyless:
        wire.invoke(COLLECTION, "GetInt32Property", Key="CollectionState")
    assert (keyless.subcode, keyless.detail) == ("InvalidSelectors", "InsufficientSelectors")

    kept = wire.invoke(COLLECTION, "SetInt32Property", {"Alias": alias}, Key="Idle", Value="-5")
    read_back = wire.invoke(COLLECTION, "GetInt32Property", {"Alias": alias.lower()}, Key="idle")
    assert (kept.return_value, read_back.return_value) == (0, 0)
    assert read_back.outputs == {"Value": "-5"}


def test_hosts_are_joined_nodes(wire: Wire) -> None:
    names = {str(node["FQDN"]) for node in wire.enumerate(NODE, "IsRdvh = TRUE")}

    assert {f"host{number}.sim.local" for number in range(1, 5)} <= names


def test_a_collection_remembers_its_create_job(wire: Wire, pool: list[str]) -> None:
    answer = wire.invoke(PROPERTIES, "GetProvisioningProperties", {"Alias": "pool"})

    assert answer.return_value == 0
    assert answer.outputs["PoolVhdType"] == "DiffDisk"
    assert answer.outputs["NamePrefix"] == "pool-"
    assert answer.outputs["NameStartIndex"] == "26"
    assert answer.outputs["VmDomain"] == "corp.example"
    assert answer.outputs["RunFromSMB"] == "false"


def test_every_desktop_has_its_user(wire: Wire, pool: list[str]) -> None:
    sessions = wire.enumerate(SESSION, "CollectionId = 'pool'")

    assert sorted(str(session["VMName"]) for session in sessions) == pool
    assert all(session["DomainName"] is not None for session in sessions)
    places = {(session["VMHostName"], session["SessionId"]) for session in sessions}
    assert len(places) == len(pool), "a SessionId is unique on its host"


def test_sessions_as_brokers_list_them(service: Service, pool: list[str]) -> None:
    broker = Wire(service.client("https"), CIMV2)
    everybody = broker.enumerate(DIRECTORY)
    found = broker.enumerate(DIRECTORY, "CollectionAlias = 'POOL' AND SessionState = 0")

    assert sorted(str(session["ServerName"]) for session in found) == pool
    assert {str(session["ServerName"]) for session in everybody} >= set(pool)
    assert {session["CollectionType"] for session in found} == {"1"}
    one = found[-1]
    logged_on = datetime.fromisoformat(str(one["CreateTime"]))
    assert timedelta() < datetime.now(UTC) - logged_on < timedelta(minutes=10)
    keys = {"VMHostName": str(one["HostServer"]), "SessionId": str(one["UnifiedSessionId"])}
    assert service.wire().get(SESSION, **keys)["UserName"] == one["UserName"]
    [again] = broker.enumerate(DIRECTORY, f"ServerName = '{one['ServerName']}'")
    assert again == one


def test_a_list_of_desktops_shows_who_was_seen_when_sessions_were_listed(
    service: Service, pool: list[str]
) -> None:
    wire = service.wire()
    seen = {str(one["VMName"]): one["UserName"] for one in wire.enumerate(SESSION)}
    desktops = {str(one["Name"]): one for one in wire.enumerate(DESKTOP)}

    for name in pool:
        shown = desktops[name]
        assert (shown["SessionUserName"], shown["SessionState"]) == (seen[name], "active")
    assert wire.get(DESKTOP, Name=pool[0])["SessionUserName"] == seen[pool[0]]


def test_the_operating_system_by_whose_version_clients_choose(service: Service) -> None:
    [system] = Wire(service.client("https"), CIMV2).enumerate("Win32_OperatingSystem")

    assert int(str(system["Version"]).partition(".")[0]) >= 10
    assert system["LastBootUpTime"] is not None


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_wrong_password_is_refused(service: Service, scheme: str) -> None:
    with pytest.raises(AuthenticationError):
        Wire(service.client(scheme, password="wrong")).enumerate(NODE)


def test_plain_http_is_refused_unless_it_was_allowed(
    tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory
) -> None:
    place = tmp_path_factory.mktemp("strict")
    service = running_service(place / "state", f"simulator://{place}/cluster?hosts=1")

    with pytest.raises(AuthenticationError):
        Wire(service.client("http")).enumerate(NODE)
    assert Wire(service.client("https")).enumerate(NODE)
