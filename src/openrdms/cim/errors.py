"""Faults of the CIM layer: what a front end turns into a SOAP fault or a CIM-XML error."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class CimStatus(IntEnum):
    """CIM status codes of DSP0200 section 5.2.5.1."""

    FAILED = 1
    ACCESS_DENIED = 2
    INVALID_NAMESPACE = 3
    INVALID_PARAMETER = 4
    INVALID_CLASS = 5
    NOT_FOUND = 6
    NOT_SUPPORTED = 7
    ALREADY_EXISTS = 11
    NO_SUCH_PROPERTY = 12
    TYPE_MISMATCH = 13
    QUERY_LANGUAGE_NOT_SUPPORTED = 14
    INVALID_QUERY = 15
    METHOD_NOT_AVAILABLE = 16
    METHOD_NOT_FOUND = 17
    INVALID_ENUMERATION_CONTEXT = 21
    INVALID_OPERATION_TIMEOUT = 22
    CONTINUATION_ON_ERROR_NOT_SUPPORTED = 26


_REASON_CODES = {CimStatus.FAILED: "", CimStatus.ACCESS_DENIED: "NoAccess"}
"""Where nobody gives another one. All else is not as the schema, or an instance, has it."""


class CimError(Exception):
    """A CIM operation failed.

    ``wbem`` is the WBEM status (unsigned 32 bit, 0 when there is none). ``names`` are the keys,
    parameters or properties at fault, so that each protocol can say it its own way. ``problem``
    is what is wrong with them: InvalidName, MissingValues or InvalidValue. ``reason_code`` is a
    word for programs, as MethodResult has it.
    """

    def __init__(
        self,
        status: CimStatus,
        message: str,
        *,
        wbem: int = 0,
        names: Sequence[str] = (),
        problem: str = "InvalidValue",
        reason_code: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.wbem = wbem
        self.names = tuple(names)
        self.problem = problem
        self.reason_code = reason_code or _REASON_CODES.get(status, "NotAsAsked")


class KeysError(CimError):
    """Keys are missing, unexpected, repeated or of the wrong type (wsman:InvalidSelectors).

    ``problem`` is Insufficient, Unexpected, Duplicate or TypeMismatch.
    """

    def __init__(self, problem: str, message: str, names: Sequence[str] = ()) -> None:
        super().__init__(
            CimStatus.INVALID_PARAMETER, message, wbem=0x8004103A, names=names, problem=problem
        )
