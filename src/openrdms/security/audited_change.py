"""A change and its two records: that it was asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from openrdms.cim.errors import CimError
from openrdms.cim.provider import MethodResult
from openrdms.cim.types import CimValue
from openrdms.model.audit import ASKED, DONE
from openrdms.model.errors import InvalidParameter, RdmsError
from openrdms.security import disclosure
from openrdms.security.audit_log import AuditLog

_WBEM = 0x8000_0000
"""WBEM codes begin here and are known in hex; Win32 codes are below, known in decimal."""


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
        self._names = {*on, *values}
        self._parameters = disclosure.disclose(values)
        self._result = MethodResult()

    def __enter__(self) -> AuditedChange:
        self._asked = self._log.record(*self._subject, self._parameters, result=ASKED)
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
        result, field = _render(self._result.return_value), ""
        if error:
            result, field = _describe(error)
        elif self._result.return_value:
            field = disclosure.find_field(self._result.reason, self._names)
        self._log.record_end(self._asked, *self._subject, outputs, result=result, reason=field)


def _describe(error: BaseException) -> tuple[str, str]:
    """The result, and the field at fault. An error's words may quote what was given."""
    if isinstance(error, CimError):
        return error.status.name, ", ".join(error.names)
    if isinstance(error, InvalidParameter):
        return _render(error.code), error.field
    if isinstance(error, RdmsError):
        return _render(error.code), ""
    return type(error).__name__, ""


def _render(return_value: int) -> str:
    if return_value == 0:
        return DONE
    return f"{return_value:#010x}" if return_value >= _WBEM else str(return_value)
