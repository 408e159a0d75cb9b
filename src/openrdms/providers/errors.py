"""The one place where the core's errors become CIM faults or a method's ReturnValue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.provider import MethodResult
from openrdms.model import errors
from openrdms.model.errors import WbemCode
from openrdms.model.reason import find_refusal

_STATUS = {
    WbemCode.NOT_FOUND: CimStatus.NOT_FOUND,
    WbemCode.ACCESS_DENIED: CimStatus.ACCESS_DENIED,
    WbemCode.INVALID_PARAMETER: CimStatus.INVALID_PARAMETER,
    WbemCode.NOT_SUPPORTED: CimStatus.NOT_SUPPORTED,
    WbemCode.ALREADY_EXISTS: CimStatus.ALREADY_EXISTS,
}
"""WBEM codes that have a CIM status of their own; the rest is FAILED (DSP0200 5.2.5.1)."""


@contextmanager
def faults() -> Iterator[None]:
    """Turn refusals inside into CimError: for operations on instances."""
    try:
        yield
    except errors.RdmsError as error:
        raise fault(error) from error


def refuse(error: errors.RdmsError) -> MethodResult:
    """The answer of a method that refuses: a Win32 code for sessions, else a WBEM code."""
    code = error.win32 if isinstance(error, errors.SessionError) else int(error.code)
    return MethodResult(code, reason=str(error), reason_code=find_refusal(error) or "")


def fault(error: errors.RdmsError) -> CimError:
    """What a refusal is as a fault."""
    status = _STATUS.get(error.code, CimStatus.FAILED)
    names = [error.field] if isinstance(error, errors.InvalidParameter) else []
    code = find_refusal(error) or ""
    return CimError(status, str(error), wbem=int(error.code), names=names, reason_code=code)
