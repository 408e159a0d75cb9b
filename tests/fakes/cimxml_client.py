"""A stock CIM-XML client without sockets, and requests written by hand."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

import pywbem
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from fakes.guards import OpenGuard
from fakes.widgets import NAMESPACE, SCHEMA, Widgets
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller
from openrdms.frontends.cimxml.service import CimXmlServer
from openrdms.frontends.exchange import HttpReply, HttpRequest

CALLER = Caller("admin", "127.0.0.1", "administrator")


class _Adapter(BaseAdapter):
    """Gives requests to the server itself."""

    def __init__(self, server: CimXmlServer, caller: Caller) -> None:
        super().__init__()
        self._server = server
        self._caller = caller

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]
        body = request.body or b""
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        headers["host"] = urlsplit(str(request.url)).netloc
        reply = self._server.handle(
            self._caller,
            HttpRequest(
                request.path_url,
                headers,
                body.encode() if isinstance(body, str) else body,
            ),
        )
        response = Response()
        response.status_code = reply.status
        response.reason = "said by the server"
        response.headers = CaseInsensitiveDict(
            [("Content-Type", reply.content_type), *reply.headers]
        )
        response.raw = HTTPResponse(io.BytesIO(reply.body), preload_content=False)
        response.request = request
        response.url = request.url or ""
        return response

    def close(self) -> None:
        pass


def serve(widgets: Widgets) -> CimXmlServer:
    """The server in front of widgets, for everybody."""
    manager = ObjectManager(SCHEMA, {"Test_Widget": widgets}, OpenGuard())
    return CimXmlServer(Namespaces([manager]))


def connect(server: CimXmlServer, caller: Caller = CALLER, **options: Any) -> pywbem.WBEMConnection:
    """pywbem on the server itself."""
    connection = pywbem.WBEMConnection(
        "http://broker:5988", default_namespace=NAMESPACE, stats_enabled=False, **options
    )
    connection.session.mount("http://", _Adapter(server, caller))
    return connection


def imethodcall(name: str, parameters: str = "", namespace: str = NAMESPACE) -> str:
    """An IMETHODCALL as the client's message."""
    return message(
        f"<IMETHODCALL NAME={quoteattr(name)}>{local(namespace)}{parameters}</IMETHODCALL>"
    )


def methodcall(name: str, path: str, parameters: str = "") -> str:
    """A METHODCALL; ``path`` is what follows the namespace: a CLASSNAME or INSTANCENAME."""
    tag = "LOCALINSTANCEPATH" if path.startswith("<INSTANCENAME") else "LOCALCLASSPATH"
    return message(
        f"<METHODCALL NAME={quoteattr(name)}><{tag}>{local(NAMESPACE)}{path}</{tag}>"
        f"{parameters}</METHODCALL>"
    )


def local(namespace: str) -> str:
    """LOCALNAMESPACEPATH."""
    parts = "".join(f"<NAMESPACE NAME={quoteattr(part)}/>" for part in namespace.split("/"))
    return f"<LOCALNAMESPACEPATH>{parts}</LOCALNAMESPACEPATH>"


def message(call: str) -> str:
    """A call in its envelope."""
    return (
        '<?xml version="1.0" encoding="utf-8" ?><CIM CIMVERSION="2.0" DTDVERSION="2.0">'
        f'<MESSAGE ID="1001" PROTOCOLVERSION="1.0"><SIMPLEREQ>{call}</SIMPLEREQ></MESSAGE></CIM>'
    )


def iparam(name: str, content: str = "") -> str:
    """One IPARAMVALUE."""
    return f"<IPARAMVALUE NAME={quoteattr(name)}>{content}</IPARAMVALUE>"


def post(
    server: CimXmlServer, body: str | bytes, caller: Caller = CALLER, **headers: str
) -> HttpReply:
    """Send it; a header's name has _ for -, and those of CIM-XML say what the body says."""
    given = {name.lower().replace("_", "-"): value for name, value in headers.items()}
    data = body.encode() if isinstance(body, str) else body
    return server.handle(caller, HttpRequest("/cimom", {**_cim_headers(data), **given}, data))


def _cim_headers(body: bytes) -> Mapping[str, str]:
    headers = {"cimoperation": "MethodCall", "host": "broker"}
    try:
        root = ET.fromstring(body)
    except (ET.ParseError, ValueError, LookupError):
        return headers
    namespace = "/".join(item.get("NAME", "") for item in root.iter("NAMESPACE"))
    for call in root.iter("IMETHODCALL"):
        return {**headers, "cimmethod": call.get("NAME", ""), "cimobject": namespace}
    for call in root.iter("METHODCALL"):
        names = [item.get("NAME") for item in call.iter("CLASSNAME")]
        names += [item.get("CLASSNAME") for item in call.iter("INSTANCENAME")]
        target = f"{namespace}:{names[0] if names else ''}"
        return {**headers, "cimmethod": call.get("NAME", ""), "cimobject": target}
    return headers


def error_of(reply: HttpReply) -> int:
    """The CIM status in a reply; 0 for none."""
    assert reply.status == 200, reply.headers
    found = ET.fromstring(reply.body).find(".//ERROR")
    return 0 if found is None else int(found.get("CODE", ""))
