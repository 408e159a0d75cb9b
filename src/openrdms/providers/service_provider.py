"""A CIM class bound to services: names to nouns in subclasses and errors here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from openrdms.cim.provider import Caller, MethodResult, Provider
from openrdms.cim.types import CimInstance, CimScalar
from openrdms.model import errors
from openrdms.providers.errors import fault, faults, refuse
from openrdms.providers.values import Values


@dataclass(frozen=True)
class Call:
    """One method call: ``keys`` are empty for a static method, every in-parameter is there."""

    keys: Values
    parameters: Values


Where = Mapping[str, CimScalar]
"""Values that wanted instances have, as ``Provider.enumerate`` gets them."""

Method = Callable[[Call], Values | None]
"""Carries out a call and returns its out-parameters; raises RdmsError to refuse."""


class ServiceProvider(Provider):
    """Answers "not supported" to all that a subclass neither overrides (``do_``) nor lists.

    Errors of an operation on an instance are faults; what a method refuses is its ReturnValue,
    except that the instance it is called on does not exist.
    """

    methods: Mapping[str, Method] = {}
    finding: frozenset[str] = frozenset()
    """Methods that raise NotFound when there is no such instance, and for nothing else: they are
    called without asking for the instance before."""

    def do_list(self, where: Where) -> Iterable[Values]:
        """Properties of every instance, in a stable order; ``where`` may be used to read less."""
        raise self._not_supported("enumeration")

    def do_get(self, keys: Values) -> Values:
        """Properties of one instance. NotFound."""
        raise self._not_supported("Get")

    def do_create(self, properties: Values) -> Values:
        """Make an instance; returns its keys."""
        raise self._not_supported("Create")

    def do_modify(self, keys: Values, changes: Values) -> None:
        raise self._not_supported("Put")

    def do_delete(self, keys: Values) -> None:
        raise self._not_supported("Delete")

    def do_require(self, keys: Values) -> None:
        """NotFound unless there is an instance to call a method on."""
        self.do_get(keys)

    def enumerate(self, caller: Caller, where: Where) -> Iterator[CimInstance]:
        with faults():
            for values in self.do_list(where):
                yield CimInstance(self.cim_class, values)

    def get(self, caller: Caller, keys: Values) -> CimInstance:
        with faults():
            return CimInstance(self.cim_class, self.do_get(keys))

    def create(self, caller: Caller, properties: Values) -> Values:
        with faults():
            return self.do_create(properties)

    def modify(self, caller: Caller, keys: Values, changes: Values) -> None:
        with faults():
            self.do_modify(keys, changes)

    def delete(self, caller: Caller, keys: Values) -> None:
        with faults():
            self.do_delete(keys)

    def invoke(
        self, caller: Caller, method: str, keys: Values | None, parameters: Values
    ) -> MethodResult:
        carry_out = self.methods.get(method)
        if keys is not None and carry_out and method not in self.finding:
            with faults():
                self.do_require(keys)
        try:
            if carry_out is None:
                raise self._not_supported(method)
            return MethodResult(outputs=carry_out(Call(keys or {}, parameters)) or {})
        except errors.RdmsError as error:
            if method in self.finding and isinstance(error, errors.NotFound):
                raise fault(error) from error
            return refuse(error)

    def _not_supported(self, what: str) -> errors.NotSupported:
        return errors.NotSupported(f"{self.cim_class}: {what} is not supported")
