"""The WS-Management server: one envelope in, one out, as bytes. No sockets here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from openrdms.cim.enumeration import Contexts
from openrdms.cim.errors import CimError
from openrdms.cim.object_manager import Namespaces
from openrdms.cim.provider import Caller
from openrdms.frontends.wsman import enumeration, faults, identify, invoke, names, soap
from openrdms.frontends.wsman.enumeration import Enumeration
from openrdms.frontends.wsman.faults import Fault
from openrdms.frontends.wsman.repeated import RepeatedRequests
from openrdms.frontends.wsman.soap import Echo, Message, Reply, Request
from openrdms.frontends.wsman.transfer import Transfer

_FAILED_WORDS = "the service failed; see its log"
_FAILED = Fault(
    faults.INTERNAL_ERROR, _FAILED_WORDS, header=faults.render_reason(_FAILED_WORDS, "Defect")
)

_log = logging.getLogger(__name__)

_Operation = Callable[[Caller, Request], Reply]
_Read = TypeVar("_Read", Message, Request)


class Service:
    """Answers requests of known callers, and Identify of anybody. Any thread may call.

    ``handle`` and ``identify`` return the HTTP status and the reply's envelope, and never raise.
    """

    def __init__(self, namespaces: Namespaces, version: str, mark: str = "") -> None:
        """``version`` of the product is told to callers with a name; ``mark``: see Contexts."""
        self._namespaces = namespaces
        self._version = version
        self._repeated = RepeatedRequests()
        transfer = Transfer(namespaces)
        enumerating = Enumeration(namespaces, Contexts(mark=mark))
        self._operations: dict[str, _Operation] = {
            f"{names.TRANSFER}/Get": transfer.get,
            f"{names.TRANSFER}/Put": transfer.put,
            f"{names.TRANSFER}/Create": transfer.create,
            f"{names.TRANSFER}/Delete": transfer.delete,
            f"{names.ENUMERATION}/Enumerate": enumerating.enumerate,
            f"{names.ENUMERATION}/Pull": enumerating.pull,
            f"{names.ENUMERATION}/Release": enumerating.release,
        }

    def handle(self, caller: Caller, data: bytes) -> tuple[int, bytes]:
        """Answer one request of an authenticated caller."""
        known = self._repeated.find(data)
        if known is not None:
            return _guarded(lambda: known, lambda request: self._answer(caller, request))
        return _guarded(lambda: Message(data), lambda message: self._read(caller, data, message))

    def identify(self, data: bytes) -> tuple[int, bytes]:
        """Answer Identify without a caller, and nothing else."""
        return _guarded(lambda: Message(data), _identify_hidden)

    def _read(self, caller: Caller, data: bytes, message: Message) -> bytes:
        if identify.is_identify(message.body):
            return soap.render(identify.answer(self._version), message.echo)
        request = message.read()
        self._repeated.keep(data, message, request)
        return self._answer(caller, request)

    def _answer(self, caller: Caller, request: Request) -> bytes:
        reply = soap.render(self._dispatch(caller, request), request.echo)
        if len(reply) > request.max_envelope:
            raise enumeration.envelope_exceeded(len(reply))
        return reply

    def _dispatch(self, caller: Caller, request: Request) -> Reply:
        operation = self._operations.get(request.action)
        if operation is not None:
            return operation(caller, request)
        if request.action.startswith((f"{names.TRANSFER}/", f"{names.ENUMERATION}/")):
            raise Fault(faults.ACTION_NOT_SUPPORTED, "the action is not supported")
        return invoke.invoke(self._namespaces, caller, request)


def _identify_hidden(message: Message) -> bytes:
    if not identify.is_identify(message.body):
        raise Fault(faults.ACCESS_DENIED, "only Identify is answered without authentication")
    return soap.render(identify.answer(identify.HIDDEN_VERSION), message.echo)


def _guarded(read: Callable[[], _Read], answer: Callable[[_Read], bytes]) -> tuple[int, bytes]:
    echo = Echo()
    try:
        found = read()
        echo = found.echo
        return 200, answer(found)
    except Fault as fault:
        return _fault(fault, echo)
    except CimError as error:
        return _fault(faults.from_cim(error), echo)
    except Exception:  # noqa: BLE001 - the edge: a client gets a fault, and the log the trace
        _log.exception("a request failed unexpectedly")
        return _fault(_FAILED, echo)


def _fault(fault: Fault, echo: Echo) -> tuple[int, bytes]:
    reply = Reply(fault.kind.action, faults.render(fault), fault.header)
    return 400 if fault.kind is faults.INVALID_XML else 500, soap.render(reply, echo)
