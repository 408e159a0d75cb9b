"""The listeners over real sockets: a stock client, raw HTTP, TLS, authentication, limits."""

import base64
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.wsman import NAMESPACES, WSMan

from fakes.http_rig import PASSWORD, HttpRig, port
from fakes.widgets import Widgets
from fakes.wsman_client import (
    WIDGET,
    element,
    enumerate_body,
    pull_body,
    selectors,
    values_of,
)
from openrdms.frontends import http as frontend
from openrdms.frontends.http import connection as http_connection
from openrdms.frontends.http import listeners as http_listeners

BASIC = "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
IDENTIFY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
    b'<i:Identify xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/>'
    b"</s:Body></s:Envelope>"
)
POST = "POST /wsman HTTP/1.1\r\nHost: x\r\n"
KEYS = selectors(Name="one", Slot=1)


@pytest.fixture(scope="module")
def widgets() -> Widgets:
    widgets = Widgets()
    widgets.add("One", 1, Text="here")
    for number in range(2, 40):
        widgets.add(f"w{number}", number, Text="even" if number % 2 == 0 else "odd")
    return widgets


@pytest.fixture(scope="module")
def listeners(widgets: Widgets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpRig]:
    rig = HttpRig(tmp_path_factory.mktemp("open"), widgets)
    yield rig
    rig.stop()


@pytest.fixture(scope="module")
def strict(widgets: Widgets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpRig]:
    rig = HttpRig(tmp_path_factory.mktemp("strict"), widgets, allow_unencrypted=False)
    yield rig
    rig.stop()


@pytest.fixture(params=["http", "https"])
def client(request: pytest.FixtureRequest, listeners: HttpRig) -> Iterator[WSMan]:
    with listeners.client(request.param) as client:
        yield client


class Reply:
    """Status, headers and body of one raw request."""

    def __init__(
        self,
        url: str,
        body: bytes = IDENTIFY,
        path: str = "/wsman",
        method: str = "POST",
        **headers: str,
    ) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port(url), timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            self.status, self.headers = response.status, response.headers
            self.body = response.read()
        finally:
            connection.close()


class TestStockClient:
    def test_create_get_put_delete(self, client: WSMan) -> None:
        slot = port(client.transport.endpoint)
        keys = selectors(Name="made", Slot=slot)
        client.create(WIDGET, element(WIDGET, "Test_Widget", {"Name": "made", "Slot": slot}))
        client.put(WIDGET, element(WIDGET, "Test_Widget", {"Text": "\u00e4\U0001f600"}), None, keys)
        (instance,) = client.get(WIDGET, selector_set=keys)
        assert values_of(instance)["Text"] == "\u00e4\U0001f600"
        client.delete(WIDGET, selector_set=keys)
        with pytest.raises(WSManFaultError) as caught:
            client.get(WIDGET, selector_set=keys)
        assert caught.value.code == 2150858752

    def test_enumerate_with_wql_and_paging(self, client: WSMan) -> None:
        wql = "SELECT * FROM Test_Widget WHERE Text LIKE 'EV%'"
        (page,) = client.enumerate(WIDGET, enumerate_body(wql=wql, max_elements=7))
        found = list(page.find("{*}Items"))
        while context := page.findtext(f"{{{NAMESPACES['wsen']}}}EnumerationContext"):
            (page,) = client.pull(WIDGET, pull_body(context, 7))
            found += page.find("{*}Items")
        assert [values_of(item)["Slot"] for item in found] == [str(n) for n in range(2, 40, 2)]

    def test_invoke(self, client: WSMan) -> None:
        body = element(WIDGET, "Add_INPUT", {"Left": 20, "Right": 22})
        reply = client.invoke(f"{WIDGET}/Add", WIDGET, body)
        assert reply.findtext(f".//{{{WIDGET}}}Sum") == "42"
        body = element(WIDGET, "Rename_INPUT", {"Text": "here"})
        reply = client.invoke(f"{WIDGET}/Rename", WIDGET, body, selector_set=KEYS)
        assert reply.findtext(f".//{{{WIDGET}}}Before") == "here"

    def test_the_providers_code(self, client: WSMan) -> None:
        body = element(WIDGET, "ReadKey_INPUT", {"Key": "Colour"})
        with pytest.raises(WSManFaultError, match="Colour was never set") as caught:
            client.invoke(f"{WIDGET}/ReadKey", WIDGET, body)
        assert caught.value.code == 0x80041002

    def test_many_at_once(self, listeners: HttpRig) -> None:
        def count(_: int) -> int:
            with listeners.client("http") as client:
                (page,) = client.enumerate(WIDGET, enumerate_body(max_elements=100))
                return len(page.find("{*}Items"))

        with ThreadPoolExecutor(8) as threads:
            assert min(threads.map(count, range(32))) >= 39


class TestAuthentication:
    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "Basic",
            "Basic !!!",
            "Basic " + base64.b64encode(b"admin").decode(),
            "Basic " + base64.b64encode(b"\xff:\xff").decode(),
            "Basic " + base64.b64encode(b"admin:wrong").decode(),
            "Basic " + base64.b64encode(f"ADMIN2:{PASSWORD}".encode()).decode(),
            "Basic " + base64.b64encode(b":").decode(),
            "Negotiate TlRMTVNTUAABAAAA",
            BASIC.removeprefix("Basic "),
        ],
    )
    def test_nobody_is_anybody(
        self, listeners: HttpRig, widgets: Widgets, authorization: str | None
    ) -> None:
        before = widgets.calls
        headers = {} if authorization is None else {"Authorization": authorization}
        reply = Reply(listeners.http_url, **headers)
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"] == 'Basic realm="WSMAN"'
        assert reply.body == b""
        assert widgets.calls == before

    def test_the_scheme_is_found_in_any_case(self, listeners: HttpRig) -> None:
        assert (
            Reply(listeners.http_url, Authorization=BASIC.replace("Basic", "bAsIc")).status == 200
        )

    def test_a_stock_client_with_a_wrong_password(self, listeners: HttpRig) -> None:
        client = listeners.client(password="wrong")
        with client, pytest.raises(AuthenticationError):
            client.get(WIDGET, selector_set=KEYS)

    def test_a_connection_that_was_let_in_is_asked_again(self, listeners: HttpRig) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port(listeners.http_url), timeout=30)
        for headers, status in (({"Authorization": BASIC}, 200), ({}, 401)):
            connection.request("POST", "/wsman", IDENTIFY, headers)
            response = connection.getresponse()
            response.read()
            assert response.status == status
        connection.close()

    def test_the_body_of_a_refused_request_is_drained(self, listeners: HttpRig) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port(listeners.http_url), timeout=30)
        for _ in range(2):
            connection.request("POST", "/wsman", b"x" * 300_000)
            response = connection.getresponse()
            response.read()
            assert response.status == 401
        connection.close()

    def test_no_password_goes_in_clear_unless_allowed(self, strict: HttpRig) -> None:
        reply = Reply(strict.http_url, Authorization=BASIC)
        assert reply.status == 401
        assert "WWW-Authenticate" not in reply.headers
        with strict.client() as client:
            client.get(WIDGET, selector_set=KEYS)

    def test_forwarded_headers_make_nobody_secure(self, strict: HttpRig) -> None:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"}
        assert Reply(strict.http_url, Authorization=BASIC, **headers).status == 401

    def test_identify_without_a_name(self, strict: HttpRig) -> None:
        reply = Reply(strict.http_url, WSMANIDENTIFY="unauthenticated")
        assert reply.status == 200
        assert b"IdentifyResponse" in reply.body
        assert b"1.2.3" not in reply.body

    def test_only_identify_without_a_name(self, listeners: HttpRig, widgets: Widgets) -> None:
        before = widgets.calls
        body = (
            b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body/></s:Envelope>'
        )
        reply = Reply(listeners.http_url, body, WSMANIDENTIFY="unauthenticated")
        assert reply.status == 500
        assert b"w:AccessDenied" in reply.body
        assert widgets.calls == before
        reply = Reply(listeners.http_url, b"x" * 9000, WSMANIDENTIFY="unauthenticated")
        assert reply.status == 413


class TestHttp:
    def test_no_content_type_is_fine(self, listeners: HttpRig) -> None:
        reply = Reply(listeners.http_url, Authorization=BASIC)
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/soap+xml;charset=UTF-8"
        assert b"1.2.3" in reply.body
        assert "Server" not in reply.headers

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "/wsman/", 200),
            ("POST", "/wsman?PSVersion=5.1", 200),
            ("POST", "/", 404),
            ("POST", "/wsman/x", 404),
            ("POST", "/../etc/passwd", 404),
            ("GET", "/wsman", 405),
            ("PUT", "/wsman", 405),
            ("OPTIONS", "/wsman", 405),
        ],
    )
    def test_two_paths_and_one_method(
        self, listeners: HttpRig, method: str, path: str, status: int
    ) -> None:
        assert Reply(listeners.http_url, path=path, method=method, Authorization=BASIC).status == (
            status
        )

    def test_a_large_body_is_refused_before_it_is_sent(self, listeners: HttpRig) -> None:
        head = (
            f"POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n"
            "Content-Length: 10000000\r\n\r\n"
        )
        assert b" 413 " in exchange(listeners.http_url, head.encode())

    def test_a_large_body_in_chunks_is_refused(self, listeners: HttpRig) -> None:
        head = "POST /wsman HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        assert b" 413 " in exchange(listeners.http_url, head.encode() + chunk * 10)

    @pytest.mark.parametrize(
        "head",
        [
            f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            f"{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
            f"{POST}Content-Length: -5\r\n\r\n",
            "nonsense\r\n\r\n",
        ],
    )
    def test_a_broken_head(self, listeners: HttpRig, head: str) -> None:
        assert exchange(listeners.http_url, head.encode()).startswith(b"HTTP/1.1 400")

    def test_a_slow_body(self, listeners: HttpRig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_connection, "BODY_SECONDS", 1.0)
        head = b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc"
        assert b" 408 " in exchange(listeners.http_url, head)

    def test_slow_headers(self, listeners: HttpRig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_connection, "HEAD_SECONDS", 1.0)
        assert exchange(listeners.http_url, b"POST /wsman HT") == b""

    def test_a_reply_does_not_wait_for_nagle(self, listeners: HttpRig) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port(listeners.http_url), timeout=30)
        quick = 0
        for _ in range(400):
            started = time.perf_counter()
            connection.request("POST", "/wsman", IDENTIFY, {"Authorization": BASIC})
            connection.getresponse().read()
            quick += time.perf_counter() - started < 0.03  # an acknowledgement waits for 0.04
            if quick == 10:
                break
        connection.close()
        assert quick == 10  # but for the first few of a connection

    def test_tls_before_12_is_refused(self, listeners: HttpRig) -> None:
        tls = listeners.certificate
        context = ssl.create_default_context(cafile=str(tls.certificate))
        plain = socket.create_connection(("127.0.0.1", port(listeners.https_url)))
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            assert secure.version() in ("TLSv1.2", "TLSv1.3")
        server = http_listeners._tls_context(tls)
        assert server.minimum_version is ssl.TLSVersion.TLSv1_2


def exchange(url: str, data: bytes) -> bytes:
    """Send bytes as they are and read until the server closes."""
    with socket.create_connection(("127.0.0.1", port(url)), timeout=30) as connection:
        connection.sendall(data)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_stop_ends_in_time_and_closes_the_port(widgets: Widgets, tmp_path: Path) -> None:
    rig = HttpRig(tmp_path, widgets)
    idle = socket.create_connection(("127.0.0.1", port(rig.http_url)))
    started = time.monotonic()
    rig.stop()
    rig.listeners.stop()
    assert time.monotonic() - started < 30
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        Reply(rig.http_url)


def test_stop_waits_for_no_provider(widgets: Widgets, tmp_path: Path) -> None:
    rig = HttpRig(tmp_path, widgets)
    with ThreadPoolExecutor(1) as threads, rig.client() as client:
        widgets.busy.clear()
        body = element(WIDGET, "Wait_INPUT")
        call = threads.submit(client.invoke, f"{WIDGET}/Wait", WIDGET, body)
        assert widgets.busy.wait(30)
        started = time.monotonic()
        rig.stop()
        assert time.monotonic() - started < 30
        widgets.free.set()
        assert call.exception(30) is not None


def test_a_port_in_use_is_an_os_error(listeners: HttpRig) -> None:
    endpoint = frontend.Endpoint(listeners.server, "127.0.0.1", port(listeners.http_url), 0)
    with pytest.raises(OSError, match="in use"):
        frontend.Listeners([endpoint], listeners.authentication, listeners.certificate)
