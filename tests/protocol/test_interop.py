"""What pywbem's tools look for on a server they do not know, and the class schema both ways."""

from __future__ import annotations

import pytest
import pywbem

from fakes.cimxml_client import connect
from fakes.guards import OpenGuard
from openrdms.cim.object_manager import Namespaces
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.providers.cimv2 import OperatingSystem
from openrdms.providers.interop import Server
from openrdms.providers.namespaces import make_namespaces
from openrdms.providers.schema import load_rdms


@pytest.fixture
def namespaces() -> Namespaces:
    server = Server("broker.test", "1.2.3")
    return make_namespaces({}, [OperatingSystem()], [], [], OpenGuard(), server)


@pytest.fixture
def connection(namespaces: Namespaces) -> pywbem.WBEMConnection:
    return connect(CimXmlServer(namespaces))


def test_a_server_describes_itself(connection: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(connection)
    assert server.interop_ns == "root/interop"
    assert server.namespaces == [
        *("root/cimv2/rdms", "root/cimv2", "root/cimv2/terminalservices"),
        *("root/openrdms", "root/interop", "root"),
    ]
    assert (server.brand, server.version) == ("OpenRDMS", "1.2.3")
    assert server.namespace_classname == "CIM_Namespace"
    for path in server.namespace_paths:
        assert connection.GetInstance(path)["Name"] == path["Name"]


def test_it_keeps_no_profile_of_the_dmtf_and_says_so(connection: pywbem.WBEMConnection) -> None:
    server = pywbem.WBEMServer(connection)
    assert server.get_selected_profiles(registered_org="DMTF") == []
    organizations = pywbem.ValueMapping.for_property(
        server, server.interop_ns, "CIM_RegisteredProfile", "RegisteredOrganization"
    )
    assert organizations.tovalues(2) == "DMTF"


def test_the_version_by_which_clients_choose(connection: pywbem.WBEMConnection) -> None:
    (system,) = connection.ExecQuery(
        "WQL", "SELECT Version FROM Win32_OperatingSystem", namespace="root/cimv2"
    )
    assert int(system["Version"].split(".")[0]) >= 10


def test_classes_of_each_namespace(connection: pywbem.WBEMConnection) -> None:
    assert len(connection.EnumerateClassNames(namespace="root/cimv2/rdms")) == len(
        load_rdms().classes
    )
    assert connection.EnumerateClassNames(namespace="root") == ["__Namespace"]
    assert len(connection.EnumerateClasses(namespace="root/cimv2")) == 3
