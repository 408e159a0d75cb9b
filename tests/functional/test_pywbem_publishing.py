"""What collections publish, over CIM-XML as pywbem speaks it."""

from __future__ import annotations

import pytest
import pywbem

from conftest import ServiceFactory
from live.rollout import create_collection
from live.service import PASSWORD, USER, Service
from live.wire import CIM_NAMESPACE

APPLICATION = "Win32_RDMSPublishedApplication"
FILE_TYPE = "Win32_RDMSFileTypeAssociation"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("pywbem")
    service: Service = running_service(place / "state", f"simulator://{place}/cluster?hosts=1")
    create_collection(service.wire(), "farm")
    return service


@pytest.fixture(scope="module")
def connection(service: Service) -> pywbem.WBEMConnection:
    return pywbem.WBEMConnection(
        service.ready["cimxml_https"].rpartition("/")[0],
        (USER, PASSWORD),
        default_namespace=CIM_NAMESPACE,
        ca_certs=str(service.state_dir / "tls" / "certificate.pem"),
    )


def make(name: str, **properties: object) -> pywbem.CIMInstance:
    return pywbem.CIMInstance(name, {"AppAlias": "calc", "PoolName": "farm"} | properties)


def test_applications_and_file_types_live(connection: pywbem.WBEMConnection) -> None:
    icon = [pywbem.Uint8(byte) for byte in (0, 1, 255)]
    application = make(
        APPLICATION,
        DisplayName="Calculator & more",
        AppPath="/usr/bin/calc",
        CommandLineSetting=pywbem.Uint32(1),
        IconIndex=pywbem.Sint32(-3),
        IconContents=icon,
    )
    path = connection.CreateInstance(application)
    assert dict(path.keybindings) == {"AppAlias": "calc", "PoolName": "farm"}
    found = connection.GetInstance(path)
    assert (found["DisplayName"], found["IconIndex"]) == ("Calculator & more", -3)
    assert found["IconContents"] == icon
    assert found["SecurityDescriptor"] is None

    of = connection.CreateInstance(make(FILE_TYPE, ExtName=".ods", ProgIdHint="Calc.8"))
    changed = connection.GetInstance(of)
    changed["IsPublished"] = True
    connection.ModifyInstance(changed)
    [listed] = connection.ExecQuery("WQL", f"SELECT * FROM {FILE_TYPE} WHERE PoolName = 'FARM'")
    assert (listed["ProgIdHint"], listed["IsPublished"]) == ("Calc.8", True)

    connection.DeleteInstance(path)
    assert connection.EnumerateInstances(FILE_TYPE) == []


@pytest.mark.parametrize(
    ("status", "words", "properties"),
    [
        (pywbem.CIM_ERR_INVALID_PARAMETER, "PoolName", {"PoolName": "nowhere"}),
        (pywbem.CIM_ERR_INVALID_PARAMETER, "Folder", {"Folder": "a/b"}),
        (
            pywbem.CIM_ERR_INVALID_PARAMETER,
            "character 12",
            {"SecurityDescriptor": "D:(A;;GA;;;DU)"},
        ),
        (pywbem.CIM_ERR_ALREADY_EXISTS, "taken", {"AppAlias": "TAKEN"}),
    ],
)
def test_what_is_refused(
    connection: pywbem.WBEMConnection, status: int, words: str, properties: dict[str, str]
) -> None:
    least = {"DisplayName": "Calculator", "AppPath": "/usr/bin/calc"}
    taken = connection.CreateInstance(make(APPLICATION, **least | {"AppAlias": "taken"}))
    with pytest.raises(pywbem.CIMError) as refused:
        connection.CreateInstance(make(APPLICATION, **least | properties))
    assert refused.value.status_code == status
    assert words.casefold() in refused.value.status_description.casefold()
    assert connection.EnumerateInstanceNames(APPLICATION) == [taken]
    connection.DeleteInstance(taken)


def test_synchronising(connection: pywbem.WBEMConnection) -> None:
    name = "Win32_RDMSManagementData"
    assert connection.InvokeMethod("SynchronizeAllPublishingData", name)[0] == 0
    context = [("Context", "FARM")]
    assert connection.InvokeMethod("SynchronizePublishingData", name, Params=context)[0] == 0
    context = [("Context", "nowhere")]
    answer = connection.InvokeMethod("SynchronizePublishingData", name, Params=context)
    assert answer[0] == 0x80041002
