"""The CIM-XML server: one HTTP request in, one reply out. No sockets here."""

from __future__ import annotations

import logging
from urllib.parse import quote

from openrdms.cim.enumeration import Contexts
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.object_manager import Namespaces
from openrdms.cim.provider import Caller
from openrdms.cim.xmltext import escape
from openrdms.frontends.cimxml import (
    associations,
    declarations,
    instances,
    message,
    methods,
    queries,
)
from openrdms.frontends.cimxml.intrinsic import Arguments, Scope
from openrdms.frontends.cimxml.message import Call, Refusal
from openrdms.frontends.cimxml.pulling import Pulling
from openrdms.frontends.exchange import HttpReply, HttpRequest

CONTENT_TYPE = 'application/xml; charset="utf-8"'
REASON = "OpenRDMS-Reason"
"""Ours: a header that says in words, percent-encoded, why a call was refused."""
REASON_CODE = "OpenRDMS-Reason-Code"
"""Ours: the same as a ReasonCode, where there is one."""
DETAIL = "PGErrorDetail"
"""OpenPegasus' header, which clients print: what is wrong with a request, percent-encoded."""

_REASON_LENGTH = 1000
"""Characters, well below what clients take as one header."""
_Headers = tuple[tuple[str, str], ...]
_OPERATION = ("CIMOperation", "MethodResponse")
_FAILED = CimError(CimStatus.FAILED, "the service failed; see its log", reason_code="Defect")

_log = logging.getLogger(__name__)


class CimXmlServer:
    """Answers POST of known callers. Any thread may call; nothing is raised."""

    paths: tuple[str, ...] = ("/cimom", "/")
    realm = "cimom"

    def __init__(self, namespaces: Namespaces, mark: str = "") -> None:
        """``mark``: see Contexts."""
        self._namespaces = namespaces
        operations = {
            **instances.OPERATIONS,
            **declarations.OPERATIONS,
            **queries.OPERATIONS,
            **associations.OPERATIONS,
            **Pulling(Contexts(mark=mark)).operations,
        }
        self._operations = {name.lower(): item for name, item in operations.items()}

    def handle(self, caller: Caller, request: HttpRequest) -> HttpReply:
        """A CIM error is a reply too; what is no CIM message gets 400 or 501."""
        try:
            call = message.read(request)
        except Refusal as refusal:
            words = (DETAIL, quote(str(refusal)))
            return HttpReply(
                refusal.status, CONTENT_TYPE, b"", (("CIMError", refusal.token), words)
            )
        except Exception:  # noqa: BLE001 - the edge: a client gets an error, and the log the trace
            _log.exception("a message could not be read")
            return HttpReply(500, CONTENT_TYPE, b"")
        content, why = self._answer(caller, call, request.headers.get("host", "localhost"))
        body = message.render_response(call, content)
        return HttpReply(200, CONTENT_TYPE, body, (_OPERATION, *why))

    def handle_anonymous(self, request: HttpRequest) -> None:
        """Nothing is answered without a name."""

    def _answer(self, caller: Caller, call: Call, host: str) -> tuple[str, _Headers]:
        try:
            return self._dispatch(caller, call, host)
        except CimError as error:
            return _render_error(error), _explain_error(error)
        except Exception:  # noqa: BLE001 - the edge: a client gets an error, and the log the trace
            _log.exception("a request failed unexpectedly")
            return _render_error(_FAILED), _explain_error(_FAILED)

    def _dispatch(self, caller: Caller, call: Call, host: str) -> tuple[str, _Headers]:
        manager = self._namespaces.get(call.namespace)
        if call.target is not None:
            content, result = methods.invoke(manager, caller, call, call.target)
            return content, _explain(result.reason, result.reason_code)
        operation = self._operations.get(call.name.lower())
        if operation is None:
            raise CimError(CimStatus.NOT_SUPPORTED, f"{call.name} is not supported")
        arguments = Arguments(operation.parameters, call.parameters)
        return operation.answer(Scope(caller, manager, host), arguments), ()


def _explain_error(error: CimError) -> _Headers:
    return _explain(str(error), error.reason_code) if error.reason_code else ()


def _explain(words: str, code: str) -> _Headers:
    """Why a call was refused."""
    told = ((REASON, quote(words[:_REASON_LENGTH])), (REASON_CODE, code))
    return tuple((name, text) for name, text in told if text)


def _render_error(error: CimError) -> str:
    return f'<ERROR CODE="{error.status}" DESCRIPTION="{escape(str(error))}"/>'
