"""What stands between a decoded request and its provider: may this caller do it, and who did."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from openrdms.cim.provider import Caller, MethodResult
from openrdms.cim.types import CimValue

ENUMERATE, GET, CREATE, MODIFY, DELETE = "Enumerate", "Get", "Create", "Put", "Delete"
"""Names of the operations on instances; a method call has the method's name."""


class Operation(NamedTuple):
    """What is asked for, checked against the schema and in its spelling.

    ``name`` is one of the operations above or a method. ``values`` are the properties of a
    Create or Put, or the in-parameters of a method.
    """

    namespace: str
    class_name: str
    name: str
    keys: Mapping[str, CimValue]
    values: Mapping[str, CimValue]


class Outcome(Protocol):
    """How an operation went, to be told by whoever carries it out."""

    def answered(self, result: MethodResult) -> None:
        """What a method returned, also when it refused."""


class Guard(Protocol):
    """Decides per class and operation, and keeps the record of changes and refusals."""

    def watch(self, caller: Caller, operation: Operation) -> AbstractContextManager[Outcome]:
        """Around the provider's work. CimError ACCESS_DENIED, before it, for who may not.

        What changes something is on record before it begins and again with its result; an
        exception that leaves the block is the result.
        """
