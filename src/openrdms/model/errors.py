"""The one exception tree. Raised anywhere below the edges, translated once at each edge.

``code`` is the WBEM status of the error (wmi_error_codes of the RDMS interface); providers
return it as ReturnValue or raise it as a CIM error by the rule in ARCHITECTURE.md.

    RdmsError
    |- NotFound, AlreadyExists, InvalidParameter, InvalidOperation, NotSupported, AccessDenied
    |  `- NoRoom              (an InvalidParameter) the hosts cannot take as many desktops
    |- OutOfSpace             the disk check before a write said no
    |- RecordsUnavailable     the database of the records did not answer; try again later
    |- HostUnavailable        the hypervisor host did not answer; trying again later may help
    |- DirectoryUnavailable   who knows people's passwords did not answer
    |- OperationFailed        a host or guest refused or failed; trying again will not help
    `- SessionError           carries a Win32 code: what session methods return
       |- SessionGone 1168, VmNotRunning 21, GuestUnreachable 1722, SessionDenied 5

Beside it stands Fenced, which nobody may catch to go on.
"""

from __future__ import annotations

from enum import IntEnum


class WbemCode(IntEnum):
    """WBEM status codes this product returns, as unsigned 32-bit numbers."""

    OK = 0
    FAILED = 0x80041001
    NOT_FOUND = 0x80041002
    ACCESS_DENIED = 0x80041003
    TYPE_MISMATCH = 0x80041005
    INVALID_PARAMETER = 0x80041008
    NOT_AVAILABLE = 0x80041009
    NOT_SUPPORTED = 0x8004100C
    INVALID_OPERATION = 0x80041016
    INVALID_QUERY = 0x80041017
    ALREADY_EXISTS = 0x80041019


class RdmsError(Exception):
    """Root of every error the core raises on purpose. ``str(error)`` is fit for a user to read."""

    code: WbemCode = WbemCode.FAILED


class NotFound(RdmsError):
    """Something named by the caller does not exist."""

    code = WbemCode.NOT_FOUND


class AlreadyExists(RdmsError):
    """The name is taken."""

    code = WbemCode.ALREADY_EXISTS


class InvalidParameter(RdmsError):
    """A value is wrong; ``field`` names the parameter, property or XML element."""

    code = WbemCode.INVALID_PARAMETER

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class NoRoom(InvalidParameter):
    """Hosts cannot take as many desktops; ``reason`` is the ReasonCode of what they lack."""

    def __init__(self, field: str, words: str, reason: str) -> None:
        super().__init__(field, words)
        self.reason = reason


class InvalidOperation(RdmsError):
    """Right call, wrong moment: the state of the object forbids it."""

    code = WbemCode.INVALID_OPERATION


class NotSupported(RdmsError):
    """Known to the interface, not offered by this service."""

    code = WbemCode.NOT_SUPPORTED


class AccessDenied(RdmsError):
    """The caller may not do this."""

    code = WbemCode.ACCESS_DENIED


class OutOfSpace(RdmsError):
    """A file system has less room than the operation needs. The text gives both in bytes."""


class HostUnavailable(RdmsError):
    """The hypervisor host cannot be reached. Temporary."""

    code = WbemCode.NOT_AVAILABLE


class RecordsUnavailable(RdmsError):
    """The database does not answer. Temporary: nothing was changed, or it is not known whether."""

    code = WbemCode.NOT_AVAILABLE


class Fenced(BaseException):
    """The other services have taken this one for dead, or a job from it: what it had under way is
    theirs. Nothing may go on, so no ``except Exception`` meets it, and a service ends its process
    where it would be raised.
    """


class DirectoryUnavailable(RdmsError):
    """A directory or identity provider does not answer as it should. Temporary."""

    code = WbemCode.NOT_AVAILABLE


class OperationFailed(RdmsError):
    """A host or guest refused an operation or failed at it. Permanent."""


class SessionError(RdmsError):
    """A session method cannot be carried out; ``win32`` is its ReturnValue."""

    win32 = 1


class SessionDenied(SessionError):
    """The guest refused (ERROR_ACCESS_DENIED)."""

    win32 = 5


class VmNotRunning(SessionError):
    """The VM of the session is not running (ERROR_NOT_READY)."""

    win32 = 21


class SessionGone(SessionError):
    """No such session, or it has ended (ERROR_NOT_FOUND)."""

    win32 = 1168


class GuestUnreachable(SessionError):
    """The host or the guest agent does not answer (RPC_S_SERVER_UNAVAILABLE)."""

    win32 = 1722
