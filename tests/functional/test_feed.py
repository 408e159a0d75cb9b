"""The feed as clients of RemoteApp and Desktop Connections ask for it ([MS-TSWP] 3.1.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import requests
from lxml import etree
from pypsrp.negotiate import HTTPNegotiateAuth

from functional.test_cli import Rdms
from live.browser import WebClient
from live.service import Service
from openrdms.model import sddl
from openrdms.model.rdp_file import decode, find, parse

ServiceFactory = Callable[..., Service]

SCHEMA = etree.XMLSchema(file=Path(__file__).parents[1] / "data" / "tswp-2.1.xsd")
SPACE = {"t": "http://schemas.microsoft.com/ts/2007/05/tswf"}
TIMES = "clone_ms=20&start_ms=20&boot_ms=100&agent_ms=10&destroy_ms=10&users=0"
SECRET = "quite a long password"
FEED = "/RDWeb/Feed/webfeed.aspx"
NEW = {"accept": "application/x-msts-radc+xml; radc_schema_version=2.0"}


@pytest.fixture(scope="module")
def rdms(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Rdms:
    """An office and a lab; an application for ann alone, and one that is not shown."""
    place = tmp_path_factory.mktemp("feed")
    rdms = Rdms(running_service(place / "state", f"simulator://{place}/cluster?hosts=1&{TIMES}"))
    password = place / "users-password"
    password.write_text(f"{SECRET}\n")
    for name, group in {"ann": "Staff", "bob": "Staff", "eve": "Guests"}.items():
        who = ("user", "add", name, "--role", "user", "--group", group)
        rdms.read(*who, "--password-file", str(password))
        rdms.read("user", "set", name, "--ntlm", "--password-file", str(password))
    for alias in ("office", "lab"):
        rdms.read(
            *("collection", "create", alias.title(), "--alias", alias, "--prefix", f"{alias}-"),
            *("--image", "image:tiny", "--host", "host1=1", "--wait"),
        )
        rdms.read("collection", "set", alias, "--user-group", "Staff")
    [ann] = [one for one in rdms.read("user", "list") if one["name"] == "ann"]
    for_ann = ("--security-descriptor", str(sddl.allow_groups([ann["sid"]])))
    publish = ("application", "publish", "lab")
    rdms.read(*publish, "Scope", "/usr/bin/scope", "--folder", "Tools", *for_ann)
    rdms.read(*publish, "Meter", "/usr/bin/meter")
    rdms.read(*publish, "Hidden", "/usr/bin/hidden", "--no-portal")
    return rdms


@pytest.fixture
def client(rdms: Rdms) -> Iterator[WebClient]:
    with WebClient(rdms.service) as client:
        yield client


def titles(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 200, reply.text
    root = etree.fromstring(reply.content)
    SCHEMA.assertValid(root)
    return sorted(one.get("Title") for one in root.findall(".//t:Resource", SPACE))


def test_the_way_of_a_client(client: WebClient) -> None:
    reply = client.get(FEED)
    assert reply.status_code == 302
    login = reply.headers["location"]
    assert login == "/RDWeb/FeedLogin/WebFeedLogin.aspx?ReturnUrl=%2FRDWeb%2FFeed%2Fwebfeed.aspx"
    reply = client.get(login)
    assert reply.status_code == 401
    offered = reply.headers.get_list("www-authenticate")
    assert [one.partition(" ")[0] for one in offered] == ["Negotiate", "NTLM", "Basic"]
    reply = client.get(login, auth=("ann", SECRET))
    assert reply.headers["content-type"] == "application/x-msts-webfeed-login; charset=utf-8"
    cookie = {"cookie": f".ASPXAUTH={reply.text}"}
    reply = client.get(FEED, headers=cookie)
    assert reply.headers["content-type"] == "text/xml; charset=utf-8"
    assert titles(reply) == ["Meter", "Office", "Scope"]
    assert b'SchemaVersion="1.1"' in reply.content
    assert b"Folder" not in reply.content
    root = etree.fromstring(client.get(FEED, headers={**cookie, **NEW}).content)
    assert root.get("SchemaVersion") == "2.1"
    [scope] = root.xpath("//t:Resource[@Title='Scope']", namespaces=SPACE)
    assert scope.find("t:Folders/t:Folder", SPACE).get("Name") == "/Tools"
    for link in scope.xpath(".//@FileURL|.//@URL"):
        reply = client.get(link, headers=cookie)
        assert reply.status_code == 200, link
    settings = parse(decode(reply.content))
    assert (find(settings, "remoteapplicationprogram") or settings[0]).value == "/usr/bin/scope"
    assert (find(settings, "username") or settings[0]).value == "ann"


def test_each_sees_what_is_for_him(client: WebClient) -> None:
    assert titles(client.get(FEED, auth=("bob", SECRET))) == ["Meter", "Office"]
    assert titles(client.get(FEED, auth=("eve", SECRET))) == []
    assert titles(client.get("/rdweb/Feed/webfeed.aspx", auth=("EXAMPLE\\bob", SECRET))) == [
        "Meter",
        "Office",
    ]


def test_what_is_not_for_him_is_not_there(client: WebClient) -> None:
    seen = client.get(FEED, auth=("ann", SECRET)).text
    links = re.findall(r'URL="([^"]+)"', seen)
    of_bob = client.get(FEED, auth=("bob", SECRET)).text
    hidden = [link for link in links if link not in of_bob]
    assert hidden
    for link in hidden:
        assert client.get(link, auth=("bob", SECRET)).status_code == 404


@pytest.mark.parametrize("scheme", ["ntlm", "negotiate"])
def test_handshakes_are_bound_to_their_connection(
    rdms: Rdms, client: WebClient, scheme: str
) -> None:
    url = rdms.service.ready["web"].rstrip("/") + FEED
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(rdms.service.state_dir / "tls" / "certificate.pem")
        session.auth = HTTPNegotiateAuth(username="ann", password=SECRET, auth_provider=scheme)
        login = url.replace("/Feed/webfeed", "/FeedLogin/WebFeedLogin")
        reply = session.get(login)
        assert reply.status_code == 200, reply.headers
        assert reply.headers["content-type"].startswith("application/x-msts-webfeed-login")
        seen = session.get(url, headers={"cookie": f".ASPXAUTH={reply.text}"})
        assert b"Scope" in seen.content
        session.auth = None
        assert b"Scope" in session.get(url, allow_redirects=False).content
        wrong = session.get(url, auth=("ann", "a wrong password"))
        assert (wrong.status_code, "Basic" in wrong.headers["www-authenticate"]) == (401, True)
        assert session.get(url, allow_redirects=False).status_code == 302
    assert client.get(FEED).status_code == 302


def test_wrong_passwords(rdms: Rdms, client: WebClient) -> None:
    for path in (FEED, "/RDWeb/FeedLogin/WebFeedLogin.aspx"):
        reply = client.get(path, auth=("mallory", "wrong password"))
        assert reply.status_code == 401
        assert "Basic" in reply.headers["www-authenticate"]
    for header in ("Basic", "Basic !", "Basic YWJj", "NTLM x", "Bearer x", "Digest a=b"):
        assert client.get(FEED, headers={"authorization": header}).status_code == 401, header
    assert client.get(FEED, headers={"cookie": ".ASPXAUTH=eHh4"}).status_code == 302
    log = rdms.read("audit", "log", "--user", "mallory")
    assert log


def test_it_changes_with_its_content_only(rdms: Rdms, client: WebClient) -> None:
    first = client.get(FEED, auth=("bob", SECRET))
    again = client.get(FEED, auth=("bob", SECRET))
    assert first.content == again.content
    tag = {"if-none-match": first.headers["etag"]}
    assert client.get(FEED, auth=("bob", SECRET), headers=tag).status_code == 304
    rdms.read("collection", "set", "office", "--name", "Office 2")
    changed = client.get(FEED, auth=("bob", SECRET), headers=tag)
    assert titles(changed) == ["Meter", "Office 2"]
    rdms.read("collection", "set", "office", "--name", "Office")


def test_a_disabled_account_sees_nothing_more(rdms: Rdms, client: WebClient) -> None:
    login = client.get("/RDWeb/FeedLogin/WebFeedLogin.aspx", auth=("eve", SECRET))
    cookie = {"cookie": f".ASPXAUTH={login.text}"}
    assert client.get(FEED, headers=cookie).status_code == 200
    rdms.read("user", "set", "eve", "--disable")
    assert client.get(FEED, headers=cookie).status_code == 302
    rdms.read("user", "set", "eve", "--enable")


def test_nothing_of_others(client: WebClient) -> None:
    for path in ("/RDWeb/Feed/resources/x.rdp", "/RDWeb/Feed/resources/..%2f..%2fx.ico"):
        assert client.get(path, auth=("ann", SECRET)).status_code == 404
    assert client.get("/RDWeb/Feed/resources/x.rdp").status_code == 302
    assert client.post(FEED, auth=("ann", SECRET)).status_code == 405


def test_session_hosts_are_reached_by_their_names(rdms: Rdms, client: WebClient) -> None:
    servers = [f"rds{number}.corp.example" for number in (1, 2)]
    named = [part for server in servers for part in ("--server", server)]
    rdms.read("session-collection", "create", "Terminal", "--alias", "term", *named)
    [bob] = [one for one in rdms.read("user", "list") if one["name"] == "bob"]
    for_bob = f"security-descriptor={sddl.allow_groups([bob['sid']])}"
    try:
        rdms.read("session-collection", "set", "term", for_bob)
        [link] = _links(client, "bob", "Terminal")
        first = _read_file(client.get(link, auth=("bob", SECRET)))
        assert first["full address"] in servers
        assert "loadbalanceinfo" not in first
        rdms.read("session-collection", "set-server", first["full address"], "new-sessions=no")
        second = _read_file(client.get(link, auth=("bob", SECRET)))
        assert {first["full address"], second["full address"]} == set(servers)
        rdms.read("session-collection", "set-server", second["full address"], "new-sessions=no")
        assert client.get(link, auth=("bob", SECRET)).status_code == 409
    finally:
        rdms.read("session-collection", "delete", "term", "--servers")


def _links(client: WebClient, user: str, title: str) -> list[str]:
    root = etree.fromstring(client.get(FEED, auth=(user, SECRET)).content)
    found = root.xpath(f"//t:Resource[@Title='{title}']//@URL", namespaces=SPACE)
    return [str(link) for link in found]


def _read_file(reply: httpx.Response) -> dict[str, str]:
    assert reply.status_code == 200, reply.text
    return {one.name: one.value for one in parse(decode(reply.content))}
