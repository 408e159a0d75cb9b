"""A change and its two records: that it was asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import structlog

from openrdms.cim.errors import CimError
from openrdms.cim.provider import MethodResult
from openrdms.cim.types import CimValue
from openrdms.model.audit import ASKED, DONE
from openrdms.model.errors import RdmsError
from openrdms.security import disclosure
from openrdms.security.audit_log import AuditLog

_WBEM = 0x8000_0000
"""WBEM codes begin here and are known in hex; Win32 codes are below, known in decimal."""

_log = structlog.get_logger(__name__)


class AuditedChange:
    """Around the work. OperationFailed before it, when the log cannot be written."""

    def __init__(
        self,
        log: AuditLog,
        who: str,
        address: str,
        what: str,
        *,
        on: Mapping[str, CimValue],
        values: Mapping[str, CimValue],
    ) -> None:
        self._log = log
        self._subject = (who, address, what, disclosure.disclose(on))
        self._values = values
        self._result = MethodResult()

    def __enter__(self) -> AuditedChange:
        parameters = disclosure.disclose(self._values)
        self._asked = self._log.record(*self._subject, parameters, result=ASKED)
        return self

    def answered(self, result: MethodResult) -> None:
        """See cim.guard.Outcome."""
        self._result = result

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        outputs = disclosure.disclose_known(self._result.outputs)
        result, reason = _render(self._result.return_value), self._result.reason
        if error:
            result, reason = _describe(error)
        reason = disclosure.censor(reason, self._values)
        try:
            self._log.record(*self._subject, outputs, result=result, reason=reason, of=self._asked)
        except RdmsError as failure:  # what was done is done: saying it failed would be a lie
            _log.error("audit record lost", of=self._asked, result=result, error=str(failure))


def _describe(error: BaseException) -> tuple[str, str]:
    if isinstance(error, CimError):
        return error.status.name, str(error)
    if isinstance(error, RdmsError):
        return _render(error.code), str(error)
    return type(error).__name__, ""  # its text may hold anything


def _render(return_value: int) -> str:
    if return_value == 0:
        return DONE
    return f"{return_value:#010x}" if return_value >= _WBEM else str(return_value)
