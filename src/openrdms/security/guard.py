"""Who may do what, and the record of it (cim.guard.Guard)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.guard import Operation
from openrdms.cim.provider import Caller


class _Unrecorded:
    def refused(self, return_value: int, reason: str) -> None:
        """Nothing is kept."""


class AdministratorsOnly:
    """Lets administrators do everything and nobody else anything."""

    @contextmanager
    def watch(self, caller: Caller, operation: Operation) -> Iterator[_Unrecorded]:
        """See cim.guard.Guard."""
        if caller.role != "administrator":
            raise CimError(
                CimStatus.ACCESS_DENIED, f"{caller.name} may not {operation.name}", wbem=0x80041003
            )
        yield _Unrecorded()
