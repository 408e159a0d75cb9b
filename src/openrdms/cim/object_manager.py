"""The CIM object manager: checks a request against the schema and hands it to its provider."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType

from openrdms.cim import guard
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.guard import Guard, Operation, Outcome
from openrdms.cim.provider import Caller, MethodResult, Provider
from openrdms.cim.schema import (
    WBEM_E_ILLEGAL_NULL,
    WBEM_E_INVALID_METHOD_PARAMETERS,
    CimClass,
    Method,
    Schema,
)
from openrdms.cim.types import CimInstance, CimScalar, CimValue

WBEM_E_READ_ONLY = 0x80041023
WBEM_E_PROVIDER_FAILURE = 0x80041004
WBEM_E_INVALID_NAMESPACE = 0x8004100E

_NO_VALUES: Mapping[str, CimScalar] = MappingProxyType({})

Values = Mapping[str, CimValue]


class ObjectManager:
    """Dispatches to one provider per class; holds no state of its own, so any thread may call.

    Every call is checked against the schema, then by the guard, then handed to the provider.

    Class, key, property, method and parameter names are taken in any case; providers see the
    schema's spelling. Every method raises CimError.
    """

    def __init__(self, schema: Schema, providers: Mapping[str, Provider], guard: Guard) -> None:
        """``providers`` are by class name; a class without one answers NOT_SUPPORTED."""
        self.schema = schema
        self._guard = guard
        self._providers = {schema.get_class(name).name: item for name, item in providers.items()}

    def enumerate(
        self, caller: Caller, class_name: str, where: Mapping[str, CimScalar] = _NO_VALUES
    ) -> Iterator[CimInstance]:
        """Instances of a class, lazily: the iteration raises CimError too.

        ``where`` (in the schema's spelling) may leave out instances that differ from it, and
        need not: see ``Provider.enumerate``.
        """
        cim_class = self.schema.get_class(class_name)
        with self._watch(caller, cim_class, guard.ENUMERATE):
            return self._provider(cim_class).enumerate(caller, where)

    def check_enumerate(self, caller: Caller, class_name: str) -> None:
        """Ask the guard again, before more of an open enumeration is given. ACCESS_DENIED."""
        with self._watch(caller, self.schema.get_class(class_name), guard.ENUMERATE):
            pass

    def get(self, caller: Caller, class_name: str, keys: Values) -> CimInstance:
        """One instance."""
        cim_class = self.schema.get_class(class_name)
        checked = cim_class.check_keys(keys)
        with self._watch(caller, cim_class, guard.GET, checked):
            return self._provider(cim_class).get(caller, checked)

    def create(self, caller: Caller, class_name: str, properties: Values) -> Values:
        """Make an instance; returns all its keys."""
        cim_class = self.schema.get_class(class_name)
        values = _check_properties(cim_class, properties)
        provider = self._provider(cim_class)
        for name in values:
            item = cim_class.get_property(name)
            if not (item.writable or item.key or name in provider.set_by_create):
                raise _read_only(name)
        with self._watch(caller, cim_class, guard.CREATE, values=values):
            keys = provider.create(caller, values)
        return _check_created(cim_class, keys)

    def modify(self, caller: Caller, class_name: str, keys: Values, changes: Values) -> None:
        """Change properties; what is named with its present value is not a change.

        Clients send back whole instances, so read-only properties are refused only when they
        differ from what the instance has.
        """
        cim_class = self.schema.get_class(class_name)
        checked = cim_class.check_keys(keys)
        values = _check_properties(cim_class, changes)
        fixed = {name: value for name, value in values.items() if _is_fixed(cim_class, name)}
        provider = self._provider(cim_class)
        wanted = {name: value for name, value in values.items() if name not in fixed}
        with self._watch(caller, cim_class, guard.MODIFY, checked, wanted):
            if fixed:
                _check_unchanged(fixed, provider.get(caller, checked))
            provider.modify(caller, checked, wanted)

    def delete(self, caller: Caller, class_name: str, keys: Values) -> None:
        """Remove an instance."""
        cim_class = self.schema.get_class(class_name)
        checked = cim_class.check_keys(keys)
        with self._watch(caller, cim_class, guard.DELETE, checked):
            self._provider(cim_class).delete(caller, checked)

    def invoke(
        self, caller: Caller, class_name: str, method: str, keys: Values, parameters: Values
    ) -> MethodResult:
        """Call a method. A static method takes keys too, and ignores them."""
        cim_class = self.schema.get_class(class_name)
        declared = cim_class.get_method(method)
        checked = _check_parameters(declared, parameters)
        instance: dict[str, CimValue] | None = None
        if declared.is_static:
            for name in keys:
                cim_class.get_key(name)
        else:
            instance = cim_class.check_keys(keys)
        with self._watch(caller, cim_class, declared.name, instance or {}, checked) as outcome:
            result = self._provider(cim_class).invoke(caller, declared.name, instance, checked)
            outcome.answered(result)
            return result

    def _watch(
        self,
        caller: Caller,
        cim_class: CimClass,
        name: str,
        keys: Values = _NO_VALUES,
        values: Values = _NO_VALUES,
    ) -> AbstractContextManager[Outcome]:
        operation = Operation(self.schema.namespace, cim_class.name, name, keys, values)
        return self._guard.watch(caller, operation)

    def _provider(self, cim_class: CimClass) -> Provider:
        found = self._providers.get(cim_class.name)
        if found is None:
            found = Provider()
            found.cim_class = cim_class.name
        return found


class Namespaces:
    """The object managers of all namespaces, by name."""

    def __init__(
        self, managers: Iterable[ObjectManager], aliases: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """The first manager is for who names no namespace. ``aliases`` are other names of some."""
        by_name = {item.schema.namespace: item for item in managers}
        self.names = tuple(by_name)
        self.default = by_name[self.names[0]]
        self._managers = {
            _fold_namespace(name): by_name[aliases.get(name, name)] for name in (*by_name, *aliases)
        }

    def find(self, name: str) -> ObjectManager | None:
        """Ignoring case, with either slash, one at an end or not."""
        return self._managers.get(_fold_namespace(name))

    def get(self, name: str) -> ObjectManager:
        """As ``find``; CimError INVALID_NAMESPACE when there is none."""
        found = self.find(name)
        if found is None:
            raise CimError(
                CimStatus.INVALID_NAMESPACE,
                f"there is no namespace {name}",
                wbem=WBEM_E_INVALID_NAMESPACE,
            )
        return found


def _fold_namespace(name: str) -> str:
    return name.strip().replace("\\", "/").strip("/").lower()


def equal_ignoring_case(left: CimValue, right: CimValue) -> bool:
    """Equality as WMI has it: text ignores case."""
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    return left == right


def _is_fixed(cim_class: CimClass, name: str) -> bool:
    item = cim_class.get_property(name)
    return item.key or not item.writable


def _check_unchanged(fixed: Values, present: CimInstance) -> None:
    for name, value in fixed.items():
        if not equal_ignoring_case(value, present.properties.get(name)):
            raise _read_only(name)


def _check_properties(cim_class: CimClass, values: Values) -> dict[str, CimValue]:
    checked: dict[str, CimValue] = {}
    for name, value in values.items():
        item = cim_class.get_property(name)
        item.check(value)
        if item.key and value is None:
            raise _illegal(f"{item.name} is a key and cannot be NULL", [item.name])
        checked[item.name] = value
    return checked


def _check_parameters(method: Method, values: Values) -> dict[str, CimValue]:
    given: dict[str, CimValue] = {}
    for name, value in values.items():
        item = method.get_input(name)
        item.check(value)
        given[item.name] = value
    missing = [item.name for item in method.inputs if item.name not in given]
    if missing:
        raise CimError(
            CimStatus.INVALID_PARAMETER,
            f"{method.name} needs {', '.join(missing)}",
            wbem=WBEM_E_INVALID_METHOD_PARAMETERS,
            names=missing,
            problem="MissingValues",
        )
    return {item.name: given[item.name] for item in method.inputs}


def _check_created(cim_class: CimClass, keys: Values) -> Values:
    missing = [key.name for key in cim_class.keys if keys.get(key.name) is None]
    if missing:
        raise CimError(
            CimStatus.FAILED,
            f"the provider of {cim_class.name} gave no {', '.join(missing)}",
            wbem=WBEM_E_PROVIDER_FAILURE,
        )
    return keys


def _read_only(name: str) -> CimError:
    return CimError(
        CimStatus.INVALID_PARAMETER, f"{name} is read-only", wbem=WBEM_E_READ_ONLY, names=[name]
    )


def _illegal(message: str, names: list[str]) -> CimError:
    return CimError(CimStatus.INVALID_PARAMETER, message, wbem=WBEM_E_ILLEGAL_NULL, names=names)
