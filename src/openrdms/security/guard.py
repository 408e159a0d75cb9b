"""Stands before every provider: asks the policy, and writes the audit log (cim.guard.Guard)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from openrdms import metrics
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.guard import Operation, Outcome
from openrdms.cim.provider import Caller, MethodResult
from openrdms.model.errors import RdmsError, WbemCode
from openrdms.model.reason import find_refusal
from openrdms.security import disclosure
from openrdms.security.audit_log import AuditLog
from openrdms.security.audited_change import AuditedChange
from openrdms.security.policy import Right, decide

_counter = cache(metrics.OPERATIONS.labels)
"""To find one again by its labels takes longer than to count."""


class PolicyGuard:
    """Lets reads through unrecorded; records changes, and whatever the policy refuses."""

    def __init__(self, audit_log: AuditLog) -> None:
        self._audit_log = audit_log

    def watch(self, caller: Caller, operation: Operation) -> AbstractContextManager[Outcome]:
        """See cim.guard.Guard. CimError FAILED, before a change, when it cannot be recorded."""
        right = decide(caller.role, operation.class_name, operation.name)
        _counter(operation.class_name, operation.name, right.name.lower()).inc()
        if right is Right.READ:
            return _READ
        if right is Right.DENIED:
            raise self._deny(caller, operation)
        return _Change(
            self._audit_log,
            caller.name,
            caller.address,
            _render(operation),
            on=operation.keys,
            values=operation.values,
        )

    def _deny(self, caller: Caller, operation: Operation) -> CimError:
        about = disclosure.disclose(operation.keys), disclosure.disclose(operation.values)
        try:
            self._audit_log.deny(caller.name, caller.address, _render(operation), *about)
        except RdmsError as error:
            return _unrecorded(error)
        return CimError(
            CimStatus.ACCESS_DENIED,
            f"{operation.class_name}.{operation.name}: the role {caller.role} may not",
            wbem=WbemCode.ACCESS_DENIED,
        )


class _Read:
    """Nothing is kept of it, so one does for all."""

    def __enter__(self) -> _Read:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def answered(self, result: MethodResult) -> None:
        return None


class _Change(AuditedChange):
    """In the object manager, where only CimErrors may come from."""

    def __enter__(self) -> _Change:
        try:
            super().__enter__()
        except RdmsError as error:
            raise _unrecorded(error) from error
        return self


_READ = _Read()


def _render(operation: Operation) -> str:
    return f"{operation.namespace}/{operation.class_name}/{operation.name}"


def _unrecorded(error: RdmsError) -> CimError:
    code = find_refusal(error) or ""
    return CimError(CimStatus.FAILED, str(error), wbem=error.code, reason_code=code)
