"""One connection of a client that says exactly what a test wants it to say."""

from __future__ import annotations

import base64
import http.client
import ssl
from dataclasses import dataclass
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import spnego

GET = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    b' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    b' xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header>'
    b"<a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Get</a:Action>"
    b"<a:MessageID>uuid:1</a:MessageID><w:ResourceURI>"
    b"http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/rdms/Test_Widget</w:ResourceURI>"
    b'<w:SelectorSet><w:Selector Name="Name">One</w:Selector>'
    b'<w:Selector Name="Slot">1</w:Selector></w:SelectorSet></s:Header><s:Body/></s:Envelope>'
)
"""Reads a widget: what it takes to reach a provider."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: HTTPMessage
    body: bytes

    def token(self, scheme: str) -> bytes:
        """What WWW-Authenticate carries for that scheme."""
        for value in self.headers.get_all("WWW-Authenticate", []):
            name, _, token = value.partition(" ")
            if name == scheme:
                return base64.b64decode(token)
        return b""


class HttpWire:
    """Never connects again: a reply that cannot be read is a test that failed."""

    def __init__(
        self,
        url: str,
        certificate: Path | None = None,
        address: tuple[str, int] | None = None,
    ) -> None:
        """``address`` is where it connects from."""
        host, _, rest = url.partition("://")[2].partition(":")
        port = int(rest.partition("/")[0])
        if certificate:
            context = ssl.create_default_context(cafile=str(certificate))
            self.connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=10, context=context
            )
        else:
            self.connection = http.client.HTTPConnection(
                host, port, timeout=10, source_address=address
            )
        self.connection.connect()
        self.connection.auto_open = 0

    def __enter__(self) -> HttpWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def post(self, body: bytes = GET, authorization: str | None = None, **headers: str) -> Reply:
        if authorization is not None:
            headers["Authorization"] = authorization
        self.connection.request("POST", "/wsman", body, headers)
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def post_token(self, scheme: str, token: bytes, body: bytes = b"") -> Reply:
        return self.post(body, f"{scheme} {base64.b64encode(token).decode()}")

    def sign_in(self, scheme: str, user: str | None, password: str | None, **options: Any) -> Any:
        """The client's context after a whole handshake, which must succeed."""
        context, reply = self.shake_hands(scheme, user, password, **options)
        assert reply.status == 200, reply.headers
        return context

    def shake_hands(
        self, scheme: str, user: str | None, password: str | None, **options: Any
    ) -> tuple[Any, Reply]:
        """All rounds of a handshake, and the last reply to it."""
        context = spnego.client(user, password, protocol=scheme.lower(), **options)
        token = context.step()
        while True:
            reply = self.post_token(scheme, token)
            answer = reply.token(scheme)
            token = context.step(answer) if answer and not context.complete else None
            if not token:
                return context, reply


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
