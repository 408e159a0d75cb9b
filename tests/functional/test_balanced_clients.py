"""Stock clients of several services, behind a balancer that knows nothing but connections."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pywbem
from pypsrp.wsman import WSMan
from websockets.exceptions import InvalidStatus

from fakes.balancer import proxy_header
from functional.test_cli import Rdms
from live.browser import WebClient
from live.displays import get_ticket, open_display
from live.postgresql import PostgreSql
from live.service import PASSWORD, USER, rdms, until
from live.services import Balancer, Member, Services, simulated
from live.wire import CIM_NAMESPACE, Wire, fault
from openrdms.security import certificate

BALANCER = "127.0.0.3"
"""Where it connects from when it says whose its connections are."""

ENVIRONMENT, NODE = "Win32_RDMSEnvironment", "Win32_RDMSJoinedNode"
COLLECTION = "Win32_RDMSVirtualDesktopCollection"


class AnnouncingBalancer(Balancer):
    """Says by PROXY v2 that all its clients are at one address."""

    client = "203.0.113.9"

    def _connect(self) -> socket.socket:
        server = socket.create_connection(self.targets[0], source_address=(BALANCER, 0))
        server.sendall(proxy_header(self.client))
        return server


@pytest.fixture(scope="module")
def services(
    postgresql: PostgreSql, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    place = tmp_path_factory.mktemp("balanced")
    times = "hosts=1&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5&users=0"
    made = Services(place, postgresql, simulated(place, times), count=2)
    certificate.ensure(place / "tls", listen="127.0.0.1")
    for member in made.members:
        member.state_dir.mkdir(parents=True)
        shutil.copytree(place / "tls", member.state_dir / "tls")
        member._options += ["--trusted-proxy", BALANCER]
    try:
        made.start()
        yield made
    finally:
        made.clear()


@pytest.fixture(scope="module")
def helen(services: Services, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An administrator with NTLM, made at the first service."""
    file = tmp_path_factory.mktemp("people") / "password"
    file.write_text(PASSWORD + "\n")
    place = ("--state-dir", services.members[0].state_dir)
    given = ("--role", "administrator", "--password-file", file)
    rdms("user", "add", "helen", *given, *place)
    rdms("user", "set", "helen", "--ntlm", "--password-file", file, *place)
    for member in services.members:
        until("it has heard of her", partial(offers_ntlm, member))
    return "helen"


def offers_ntlm(member: Member) -> bool:
    answer = httpx.post(member.ready["wsman_http"], trust_env=False)
    return "NTLM" in answer.headers.get_list("www-authenticate")


def address_of(member: Member, listener: str) -> tuple[str, int]:
    url = urlsplit(member.ready[listener])
    return url.hostname or "", url.port or 0


@contextmanager
def balanced(services: Services, listener: str) -> Iterator[int]:
    balancer = Balancer([address_of(member, listener) for member in services.members])
    try:
        yield balancer.port
    finally:
        balancer.close()


def open_wsman(services: Services, port: int, user: str, scheme: str, **options: Any) -> WSMan:
    file: Any = str(services.members[0].state_dir / "tls" / "certificate.pem")
    return WSMan(
        "127.0.0.1", port=port, ssl=scheme == "https", username=user, password=PASSWORD,
        cert_validation=file, no_proxy=True, **options,
    )  # fmt: skip


def count_callers(services: Services, name: str) -> list[int]:
    """How often each service was called by somebody."""
    query = "SELECT count(*) FROM audit_log WHERE service = %s AND who = %s AND of IS NULL"
    ids = [member.ready["service"] for member in services.members]
    return [services.read(query, one, name)[0][0] for one in ids]


@pytest.mark.parametrize(("scheme", "encryption"), [("http", "always"), ("https", "never")])
def test_ntlm_keeps_to_its_connection(
    services: Services, helen: str, scheme: str, encryption: str
) -> None:
    before = count_callers(services, helen)
    with balanced(services, f"wsman_{scheme}") as port:
        for _ in services.members:
            how = {"auth": "ntlm", "encryption": encryption}
            with open_wsman(services, port, helen, scheme, **how) as client:
                wire = Wire(client)
                assert wire.enumerate(NODE)
                assert wire.invoke(ENVIRONMENT, "SetActiveServer").return_value == 0
                assert wire.invoke(ENVIRONMENT, "SetActiveServer").return_value == 0
    made = [now - then for now, then in zip(count_callers(services, helen), before, strict=True)]
    assert made == [2, 2]


def connect_cim(port: int, services: Services) -> pywbem.WBEMConnection:
    return pywbem.WBEMConnection(
        f"https://127.0.0.1:{port}",
        (USER, PASSWORD),
        CIM_NAMESPACE,
        ca_certs=str(services.members[0].state_dir / "tls" / "certificate.pem"),
        timeout=60,
        use_pull_operations=True,
    )


def test_pulls_keep_to_their_connection_or_say_what_they_need(services: Services) -> None:
    wire = services.members[0].wire()
    for number in range(5):
        named = {"Alias": f"c{number}", "Name": f"c{number}", "Type": "1", "IsManaged": "false"}
        wire.create(COLLECTION, named)
    with balanced(services, "cimxml_https") as port:
        for _ in services.members:
            with connect_cim(port, services) as client:
                names = [*client.IterEnumerateInstances(COLLECTION, MaxObjectCount=2)]
                assert len(names) == 5
    ports = [address_of(member, "cimxml_https")[1] for member in services.members]
    with connect_cim(ports[0], services) as one, connect_cim(ports[1], services) as two:
        begun = one.OpenEnumerateInstances(COLLECTION, MaxObjectCount=2)
        with pytest.raises(pywbem.CIMError, match="stickiness") as elsewhere:
            two.PullInstancesWithPath(begun.context, MaxObjectCount=2)
        assert elsewhere.value.status_code == 21
        rest = one.PullInstancesWithPath(begun.context, MaxObjectCount=10)
        assert len(begun.instances) + len(rest.instances) == 5


def test_who_pulls_elsewhere_over_wsman_is_told(services: Services) -> None:
    wires = [member.wire() for member in services.members]
    mark = services.members[0].ready["service"][:8].upper()
    with fault() as elsewhere:
        wires[1].pull(NODE, f"uuid:{mark}-0000-4000-8000-000000000000")
    assert elsewhere.subcode == "InvalidEnumerationContext"
    assert "stickiness" in elsewhere.text


def test_a_ticket_of_one_opens_a_display_at_another_once(services: Services) -> None:
    one, two = services.members
    command = Rdms(one)
    command.read(
        *("collection", "create", "Pool", "--alias", "pool", "--prefix", "d-"),
        *("--image", "image:tiny", "--host", "host1=1", "--wait"),
    )
    assert command.run("collection", "set", "pool", "--user-group", "Everyone").exit_code == 0
    desktop = command.read("desktop", "connect", "pool", USER, "--wait", "60")["VMName"]
    with WebClient(one) as client:
        client.sign_in(USER, PASSWORD)
        ticket = get_ticket(client, desktop)
        with open_display(two, client, ticket) as display:
            assert display.recv(12) == b"RFB 003.008\n"
        with pytest.raises(InvalidStatus), open_display(one, client, ticket):
            pass


def test_all_tell_the_same_truth_of_all(services: Services) -> None:
    wires = [member.wire() for member in services.members]
    active = {wire.invoke(ENVIRONMENT, "GetActiveServer").outputs["ServerName"] for wire in wires}
    assert active == {socket.getfqdn()}
    for wire in wires:
        nodes = {str(node["FQDN"]): node for node in wire.enumerate(NODE)}
        assert nodes[socket.getfqdn()]["IsRdcb"] == "true"
    assert (
        wires[0]
        .invoke(ENVIRONMENT, "SetClientAccessName", ClientAccessName="desk.example.org")
        .return_value
        == 0
    )
    told = wires[1].invoke(ENVIRONMENT, "GetClientAccessName").outputs
    assert told == {"ClientAccessName": "desk.example.org"}


def test_a_clients_own_address_is_on_record(services: Services) -> None:
    balancer = AnnouncingBalancer([address_of(services.members[1], "wsman_https")])
    try:
        with open_wsman(services, balancer.port, USER, "https", auth="basic") as client:
            assert Wire(client).invoke(ENVIRONMENT, "SetActiveServer").return_value == 0
    finally:
        balancer.close()
    newest = "SELECT address FROM audit_log WHERE who = %s AND result = 'asked' ORDER BY sequence"
    assert services.read(newest, USER)[-1] == (AnnouncingBalancer.client,)


def test_all_wrote_one_chain_also_who_was_killed(services: Services) -> None:
    services.members[0].kill()
    services.members[0].start()
    for member in services.members:
        found = rdms("audit", "verify", "--state-dir", member.state_dir)
        assert found["records"] > 10
