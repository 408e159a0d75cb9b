"""What stands behind one CIM class. Registered with the object manager; knows no protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.types import CimInstance, CimScalar, CimValue


class Caller(NamedTuple):
    """Who asks, decided by the front end after authentication, and from where.

    ``role`` is for the guard to understand. Nothing here has a default: whoever makes a caller
    has authenticated one.
    """

    name: str
    address: str
    role: str


@dataclass(frozen=True)
class MethodResult:
    """ReturnValue and out-parameters by name. ``reason`` explains a refusal in plain words,
    ``reason_code`` in one for programs, "" where there is none.
    """

    return_value: int = 0
    outputs: Mapping[str, CimValue] = field(default_factory=dict)
    reason: str = ""
    reason_code: str = ""


class Provider:
    """Answers of a class that offers nothing. A real provider overrides what it offers.

    The object manager has already checked class, keys, parameter names and types against the
    schema: ``keys``, ``parameters`` and ``changes`` use the schema's spelling. Methods block and
    may run on any thread. Raise CimError; RdmsError is translated by providers themselves.
    """

    cim_class: str
    set_by_create: frozenset[str] = frozenset()
    """Read-only properties that whoever makes an instance may give it."""

    def enumerate(self, caller: Caller, where: Mapping[str, CimScalar]) -> Iterator[CimInstance]:
        """Every instance, in a stable order, made while it is iterated over.

        ``where`` are values that properties of the wanted instances have, by property; text
        ignores case. Who asks tests its whole filter on what comes, so a provider may use them
        to read less, and may ignore them. CimError comes from the iteration too.
        """
        raise self._unsupported("enumeration")

    def get(self, caller: Caller, keys: Mapping[str, CimValue]) -> CimInstance:
        """One instance; CimError NOT_FOUND when there is none."""
        raise self._unsupported("Get")

    def create(self, caller: Caller, properties: Mapping[str, CimValue]) -> Mapping[str, CimValue]:
        """Make an instance; returns its keys."""
        raise self._unsupported("Create")

    def modify(
        self, caller: Caller, keys: Mapping[str, CimValue], changes: Mapping[str, CimValue]
    ) -> None:
        """Change the properties named in ``changes``; None sets to NULL."""
        raise self._unsupported("Put")

    def delete(self, caller: Caller, keys: Mapping[str, CimValue]) -> None:
        """Remove an instance; CimError NOT_FOUND when there is none."""
        raise self._unsupported("Delete")

    def invoke(
        self,
        caller: Caller,
        method: str,
        keys: Mapping[str, CimValue] | None,
        parameters: Mapping[str, CimValue],
    ) -> MethodResult:
        """Call a method; ``keys`` is None for a static one. Every in-parameter is present."""
        raise self._unsupported(method)

    def _unsupported(self, what: str) -> CimError:
        return CimError(
            CimStatus.NOT_SUPPORTED, f"{self.cim_class}: {what} is not supported", wbem=0x8004100C
        )
