"""WS-Management over HTTP: its paths and content type."""

from __future__ import annotations

from openrdms.cim.provider import Caller
from openrdms.frontends.exchange import HttpReply, HttpRequest
from openrdms.frontends.wsman.service import Service

_CONTENT_TYPE = "application/soap+xml;charset=UTF-8"


class WsmanServer:
    """Puts a service behind HTTP (exchange.ProtocolServer)."""

    paths = ("/wsman", "/wsman/")
    realm = "WSMAN"

    def __init__(self, service: Service) -> None:
        self._service = service

    def handle(self, caller: Caller, request: HttpRequest) -> HttpReply:
        """Answer an authenticated caller."""
        status, body = self._service.handle(caller, request.body)
        return HttpReply(status, _CONTENT_TYPE, body)

    def handle_anonymous(self, request: HttpRequest) -> HttpReply:
        """Answer Identify (DSP0226 section 11)."""
        status, body = self._service.identify(request.body)
        return HttpReply(status, _CONTENT_TYPE, body)
