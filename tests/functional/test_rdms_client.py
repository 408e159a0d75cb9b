"""Our typed client against a running service: types, paging, envelopes, errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from live.service import PASSWORD, Service
from openrdms.cli.rdms_client import Fault, Login, RdmsClient, Refused, quote
from openrdms.model.collection import IDLE_STATES
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job
from openrdms.model.report import parse_report

ServiceFactory = Callable[..., Service]

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
TIMES = "clone_ms=1&start_ms=1&boot_ms=1&agent_ms=1&slots=50"
SMALLEST = 8192


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    place = tmp_path_factory.mktemp("client")
    uri = f"simulator://{place}/cluster?hosts=2&{TIMES}"
    return running_service(place / "state", uri, options=["--allow-unencrypted"])


def make_client(service: Service, scheme: str = "https", **options: int) -> RdmsClient:
    ca = service.state_dir / "tls" / "certificate.pem" if scheme == "https" else None
    return RdmsClient(Login(service.ready[f"wsman_{scheme}"], "admin", PASSWORD, ca), **options)


@pytest.fixture
def client(service: Service) -> Iterator[RdmsClient]:
    with make_client(service) as client:
        yield client


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_instance_goes_there_and_back_in_its_types(service: Service, scheme: str) -> None:
    alias = f"Bücher & {scheme}"
    properties = {
        "Alias": alias,
        "Name": alias,
        "Type": 2,
        "IsManaged": False,
        "CollectionDescription": " two\nlines ",
        "IconContents": [0, 127, 255],
        "ShowInPortal": True,
    }
    keys = {"Alias": alias}
    with make_client(service, scheme) as client:
        assert client.create(COLLECTION, properties) == keys
        found = client.get(COLLECTION.lower(), {"alias": alias.upper()})
        assert {name: found[name] for name in properties} == properties
        assert found["SecurityDescriptor"] is None
        client.put(COLLECTION, keys, {"CollectionDescription": None, "IconContents": [7]})
        changed = client.get(COLLECTION, keys)
        assert (changed["CollectionDescription"], changed["IconContents"]) == (None, [7])
        client.delete(COLLECTION, keys)
        with pytest.raises(Fault, match="Bücher"):
            client.get(COLLECTION, keys)


def test_many_instances_come_in_pages_and_by_query(service: Service) -> None:
    with make_client(service, max_envelope_size=SMALLEST) as client:
        names = [f"c-{number:02} & s" for number in range(40)]
        for name in names:
            client.create(COLLECTION, {"Alias": name, "Name": name, "Type": 1, "IsManaged": False})
        found = [one["Alias"] for one in client.enumerate(COLLECTION)]
        assert sorted(map(str, found)) == names
        where = f"Alias = {quote(names[7].upper())} OR Name LIKE 'c-3[01]%'"
        chosen = {one["Alias"] for one in client.enumerate(COLLECTION, where)}
        assert chosen == {names[7], names[30], names[31]}
        for name in names:
            client.delete(COLLECTION, {"Alias": name})


def test_a_long_report_comes_though_the_envelope_was_small(service: Service) -> None:
    with make_client(service, max_envelope_size=SMALLEST) as client:
        client.create(COLLECTION, {"Alias": "big", "Name": "big", "Type": 1, "IsManaged": True})
        document = JobDocument(
            action=JobAction.CREATE,
            on_error=OnError.STOP,
            collection="big",
            disk_kind=DiskKind.LINKED,
            base_vm_location="image:tiny",
            name_prefix="big-",
            hosts=(HostAllocation("", 60),),
        )
        job = client.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=render_job(document))
        guid = str(job["JobGuid"])
        while (report := parse_report(client.get_report(guid))).state not in IDLE_STATES:
            time.sleep(0.1)
        assert len(report.desktops) == report.succeeded == 60


def test_a_refusal_has_code_and_reason(client: RdmsClient) -> None:
    with pytest.raises(Refused) as refused:
        client.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml="<not-closed>")
    assert refused.value.return_value == 0x80041008
    assert "not well-formed" in str(refused.value)


def test_outputs_have_their_types(client: RdmsClient) -> None:
    counted = client.invoke("Win32_RDMSJoinedNode", "GetJoinedNodeCount", roleType=4)
    assert counted == {"Count": 2}
    listed = client.invoke(
        COLLECTION, "ProvisioningEnumerateJobs", JobType=1, CollectionAlias="nobody"
    )
    assert listed.get("JobGuids") in (None, [])


def test_a_key_never_set_is_a_fault(client: RdmsClient) -> None:
    client.create(COLLECTION, {"Alias": "k", "Name": "k", "Type": 1, "IsManaged": False})
    with pytest.raises(Fault, match="MaxMonitors"):
        client.invoke(COLLECTION, "GetInt32Property", {"Alias": "k"}, Key="MaxMonitors")
    client.delete(COLLECTION, {"Alias": "k"})
