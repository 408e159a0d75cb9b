"""Stock CIM-XML clients against a service on the simulator: pywbem, pywbemcli, wbemcli."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import pywbem
import requests

from conftest import ServiceFactory
from fakes.cimxml_client import methodcall
from live.rollout import COLLECTION, DESKTOP, SESSION, begin_create, follow, job_document
from live.service import PASSWORD, USER, Service, until
from live.wire import CIM_NAMESPACE

NODE = "Win32_RDMSJoinedNode"
NOT_FOUND, INVALID_PARAMETER, TYPE_MISMATCH = 6, 4, 13

REPORT = methodcall(
    "ProvisioningJobGetReport",
    f'<CLASSNAME NAME="{COLLECTION}"/>',
    '<PARAMVALUE NAME="JobGuid"><VALUE>no GUID</VALUE></PARAMVALUE>',
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("cimxml")
    cluster = f"simulator://{place}/cluster?hosts=4&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5"
    service = running_service(place / "state", cluster, options=["--allow-unencrypted"])
    wire = service.wire()
    assert follow(wire, begin_create(wire, "pool", 25)).state == "JOB_COMPLETED"
    return service


def connect(service: Service, scheme: str, password: str = PASSWORD) -> pywbem.WBEMConnection:
    address = urlsplit(service.ready[f"cimxml_{scheme}"])
    assert address.path == "/cimom"
    return pywbem.WBEMConnection(
        f"{scheme}://{address.netloc}",
        (USER, password),
        CIM_NAMESPACE,
        ca_certs=str(service.state_dir / "tls" / "certificate.pem"),
        timeout=60,
        use_pull_operations=True,
    )


@pytest.fixture(params=["http", "https"])
def connection(service: Service, request: pytest.FixtureRequest) -> pywbem.WBEMConnection:
    return connect(service, request.param)


def path(name: str, **keys: object) -> pywbem.CIMInstanceName:
    return pywbem.CIMInstanceName(name, keys, namespace=CIM_NAMESPACE)


class TestPywbem:
    def test_a_collection_from_its_creation_to_its_end(
        self, connection: pywbem.WBEMConnection
    ) -> None:
        made = connection.CreateInstance(
            pywbem.CIMInstance(
                COLLECTION, {"Alias": "Loose", "Name": "Loose & <new>", "Type": pywbem.Uint32(2)}
            )
        )
        assert made == path(COLLECTION, Alias="Loose")
        found = connection.GetInstance(made, PropertyList=["Name", "Type"])
        assert dict(found) == {"Name": "Loose & <new>", "Type": 2}
        changed = pywbem.CIMInstance(
            COLLECTION, {"Name": "\u00c4ndern", "Type": pywbem.Uint32(1)}, path=made
        )
        connection.ModifyInstance(changed, PropertyList=["Name"])
        found = connection.GetInstance(made)
        assert (found["Name"], found["Type"]) == ("\u00c4ndern", 2)
        connection.DeleteInstance(made)
        with pytest.raises(pywbem.CIMError) as caught:
            connection.GetInstance(made)
        assert caught.value.status_code == NOT_FOUND

    def test_desktops_in_every_way_to_list_them(self, connection: pywbem.WBEMConnection) -> None:
        listed = connection.EnumerateInstances(DESKTOP)
        assert [item["CollectionAlias"] for item in listed].count("pool") == 25
        names = sorted(item["Name"] for item in listed)
        assert sorted(item["Name"] for item in connection.EnumerateInstanceNames(DESKTOP)) == names
        pulled = connection.IterEnumerateInstances(DESKTOP, MaxObjectCount=10)
        assert sorted(item["Name"] for item in pulled) == names
        paths = connection.IterEnumerateInstancePaths(DESKTOP, MaxObjectCount=10)
        assert sorted(item["Name"] for item in paths) == names
        query = f"SELECT Name FROM {DESKTOP} WHERE Name = '{names[3]}'"
        (selected,) = connection.ExecQuery("WQL", query)
        assert (dict(selected), selected.path["Name"]) == ({"Name": names[3]}, names[3])
        iterated = connection.IterQueryInstances("WQL", query, MaxObjectCount=10)
        assert [dict(item) for item in iterated.generator] == [{"Name": names[3]}]
        assert connection.Associators(listed[0].path) == []
        assert connection.ReferenceNames(DESKTOP) == []

    def test_a_job(self, connection: pywbem.WBEMConnection) -> None:
        alias = f"by-{connection.url.partition(':')[0]}"
        values = {"Alias": alias, "Name": alias, "Type": pywbem.Uint32(1), "IsManaged": True}
        connection.CreateInstance(pywbem.CIMInstance(COLLECTION, values))
        document = job_document("Create", alias, prefix=f"{alias}-", count=3)
        code, outputs = connection.InvokeMethod(
            "ProvisioningJobExecute", COLLECTION, JobInputXml=document
        )
        assert code == 0
        guid = outputs["JobGuid"]

        def has_completed() -> bool:
            code, outputs = connection.InvokeMethod(
                "ProvisioningJobGetReport", COLLECTION, JobGuid=guid
            )
            return code == 0 and "JOB_COMPLETED" in outputs["JobReportXml"]

        until("the job has completed", has_completed)
        query = f"SELECT * FROM {DESKTOP} WHERE CollectionAlias = '{alias}'"
        assert len(connection.ExecQuery("WQL", query)) == 3

    def test_methods(self, connection: pywbem.WBEMConnection) -> None:
        code, outputs = connection.InvokeMethod(
            "GetJoinedNodeCount", NODE, roleType=pywbem.Uint32(1)
        )
        assert (code, sorted(outputs)) == (0, ["Count"])
        desktop = connection.EnumerateInstanceNames(DESKTOP)[0]
        code, outputs = connection.InvokeMethod("GetVirtualDesktopState", desktop)
        assert (code, type(outputs["VMState"])) == (0, pywbem.Uint32)
        for method, target, parameters, status in (
            ("GetVirtualDesktopState", DESKTOP, {}, INVALID_PARAMETER),
            ("GetVirtualDesktopState", path(DESKTOP, Name="none"), {}, NOT_FOUND),
            ("GetJoinedNodeCount", NODE, {"roleType": "1"}, TYPE_MISMATCH),
            ("GetJoinedNodeCount", NODE, {}, INVALID_PARAMETER),
        ):
            with pytest.raises(pywbem.CIMError) as caught:
                connection.InvokeMethod(method, target, **parameters)
            assert caught.value.status_code == status

    def test_the_schema(self, connection: pywbem.WBEMConnection) -> None:
        assert len(connection.EnumerateClassNames()) == 13
        assert "JobInputXml" in (
            connection.GetClass(COLLECTION).methods["ProvisioningJobExecute"].parameters
        )
        assert connection.GetQualifier("Key").type == "boolean"
        assert "CIM_Namespace" in connection.EnumerateClassNames("root/interop")
        server = pywbem.WBEMServer(connection)
        assert server.brand == "OpenRDMS"
        assert {"root/interop", "root/cimv2", CIM_NAMESPACE} <= set(server.namespaces)

    def test_a_wrong_password(self, service: Service) -> None:
        with pytest.raises(pywbem.AuthError):
            connect(service, "https", "wrong").EnumerateClassNames()

    def test_a_class_that_has_no_instances_to_list(self, connection: pywbem.WBEMConnection) -> None:
        assert isinstance(connection.EnumerateInstances(SESSION), list)


class TestRawHttp:
    @pytest.fixture
    def post(self, service: Service):  # type: ignore[no-untyped-def]
        def post(body: str, path: str = "/cimom", **headers: str) -> requests.Response:
            return requests.post(
                service.ready["cimxml_http"].removesuffix("/cimom") + path,
                data=body.encode(),
                headers={
                    "CIMOperation": "MethodCall",
                    "CIMMethod": "ProvisioningJobGetReport",
                    "CIMObject": quote(f"{CIM_NAMESPACE}:{COLLECTION}"),
                    **headers,
                },
                auth=(USER, PASSWORD),
                timeout=60,
            )

        return post

    def test_a_refusal_says_why(self, post) -> None:  # type: ignore[no-untyped-def]
        for path in ("/cimom", "/"):
            reply = post(REPORT, path)
            assert reply.status_code == 200
            assert reply.headers["CIMOperation"] == "MethodResponse"
            assert "JobGuid" in unquote(reply.headers["OpenRDMS-Reason"])
            assert '<RETURNVALUE PARAMTYPE="uint32"><VALUE>2147' in reply.text

    def test_what_is_no_call(self, post) -> None:  # type: ignore[no-untyped-def]
        for reply, error in (
            (post(REPORT, CIMMethod="ProvisioningJobCancel"), "header-mismatch"),
            (post("<!DOCTYPE CIM><CIM/>"), "request-not-well-formed"),
        ):
            assert (reply.status_code, reply.headers["CIMError"]) == (400, error)
        assert post(REPORT, "/wsman").status_code == 404
        assert post("x" * 2**20).status_code == 413


class TestPywbemcli:
    @pytest.fixture
    def ask(self, service: Service):  # type: ignore[no-untyped-def]
        certificate = service.state_dir / "tls" / "certificate.pem"
        server = service.ready["cimxml_https"].removesuffix("/cimom")

        def ask(*arguments: str) -> str:
            return run(
                str(Path(sys.executable).parent / "pywbemcli"),
                *("--server", server, "--user", USER, "--password", PASSWORD),
                *("--default-namespace", CIM_NAMESPACE, "--ca-certs", str(certificate)),
                *arguments,
            )

        return ask

    def test_classes(self, ask) -> None:  # type: ignore[no-untyped-def]
        assert ask("class", "enumerate", "--names-only").split().count(DESKTOP) == 1
        assert "ProvisioningJobExecute" in ask("class", "get", COLLECTION)

    def test_instances(self, ask) -> None:  # type: ignore[no-untyped-def]
        assert ask("instance", "enumerate", COLLECTION).count("instance of") >= 1
        assert "Collection pool" in ask("instance", "get", f'{COLLECTION}.Alias="pool"')
        assert "Count" in ask(
            "class", "invokemethod", NODE, "GetJoinedNodeCount", "-p", "roleType=1"
        )

    def test_the_server(self, ask) -> None:  # type: ignore[no-untyped-def]
        assert CIM_NAMESPACE in ask("namespace", "list").split()
        assert ask("server", "brand").strip() == "OpenRDMS"
        assert "Advertised management profiles" in ask("profile", "list")


@pytest.mark.skipif(not shutil.which("wbemcli"), reason="needs Debian's sblim-wbemcli")
class TestWbemcli:
    """Every answer is one line per object, in its own form of paths."""

    @pytest.fixture
    def ask(self, service: Service):  # type: ignore[no-untyped-def]
        server = urlsplit(service.ready["cimxml_http"]).netloc

        def ask(command: str, target: str = "", *arguments: str) -> str:
            url = f"http://{USER}:{PASSWORD}@{server}/{CIM_NAMESPACE}{target and ':'}{target}"
            return run("wbemcli", command, url, *arguments)

        return ask

    def test_classes(self, ask) -> None:  # type: ignore[no-untyped-def]
        assert len(ask("ecn").splitlines()) == 13
        assert f"{DESKTOP} Name=," in ask("gc", DESKTOP)

    def test_instances(self, ask) -> None:  # type: ignore[no-untyped-def]
        assert len(ask("ein", DESKTOP).splitlines()) >= 25
        assert len(ask("ei", DESKTOP).splitlines()) >= 25
        loose = f'{COLLECTION}.Alias="cli"'
        assert loose in ask("ci", loose, 'Alias="cli",Name="By hand",Type=2')
        assert 'Name="By hand"' in ask("gi", loose)
        assert ask("ain", loose) == ""
        ask("mi", loose, 'Name="Otherwise"')
        assert 'Name="Otherwise"' in ask("gi", loose)
        ask("di", loose)
        assert "CIM_ERR_NOT_FOUND" in ask("gi", loose)

    def test_methods(self, ask) -> None:  # type: ignore[no-untyped-def]
        assert "GetJoinedNodeCount: 0" in ask("cm", NODE, "GetJoinedNodeCount.roleType=1")
        assert "CIM_ERR_INVALID_PARAMETER" in ask("cm", NODE, "GetJoinedNodeCount")


def run(*command: str) -> str:
    """What it prints, its complaints too."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout
