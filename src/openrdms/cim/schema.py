"""CIM classes as declared: what exists, of which type, and how it may be used.

Names are found ignoring case, as in WMI, and handed on in the schema's spelling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from openrdms.cim import types
from openrdms.cim.errors import CimError, CimStatus, KeysError
from openrdms.cim.types import CimScalar, CimType, CimValue

WBEM_E_TYPE_MISMATCH = 0x80041005
WBEM_E_INVALID_CLASS = 0x80041010
WBEM_E_ILLEGAL_NULL = 0x80041028
WBEM_E_INVALID_METHOD = 0x8004102E
WBEM_E_INVALID_METHOD_PARAMETERS = 0x8004102F
WBEM_E_INVALID_PROPERTY = 0x80041031


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _by_name(items: Iterable[N]) -> dict[str, N]:
    return {item.name.lower(): item for item in items}


@dataclass(frozen=True)
class Flavor:
    """How a qualifier passes on to subclasses (DSP0004 5.6.2.4), with the standard's defaults."""

    overridable: bool = True
    to_subclass: bool = True
    translatable: bool = False


@dataclass(frozen=True)
class Qualifier:
    """What a class, property, method or parameter says about itself beyond its type."""

    name: str
    type: CimType
    value: CimValue
    flavor: Flavor = Flavor()


@dataclass(frozen=True)
class QualifierDeclaration:
    """A qualifier type; ``scopes`` are in lower case, as ``property`` or ``any``."""

    name: str
    type: CimType
    array: bool
    default: CimValue
    scopes: tuple[str, ...]
    flavor: Flavor = Flavor()


@dataclass(frozen=True)
class Element:
    """Something that holds a value: a property or a parameter."""

    name: str
    type: CimType
    array: bool = False
    qualifiers: tuple[Qualifier, ...] = field(default=(), repr=False, kw_only=True)

    def check(self, value: CimValue) -> None:
        """Raise TYPE_MISMATCH, naming this element, unless the value is of its type or NULL."""
        if value is None:
            return
        if isinstance(value, list) != self.array:
            raise self._mismatch("is not an array" if self.array else "is an array")
        for item in value if isinstance(value, list) else (value,):
            if item is not None:
                self._check_item(item)

    def parse(self, text: str) -> CimScalar:
        """One scalar of this element's type from text; TYPE_MISMATCH names the element."""
        try:
            return types.parse_scalar(self.type, text)
        except ValueError as error:
            raise self._mismatch(str(error)) from error

    def _check_item(self, item: CimScalar) -> None:
        try:
            types.check_scalar(self.type, item)
        except ValueError as error:
            raise self._mismatch(str(error)) from error

    def _mismatch(self, reason: str) -> CimError:
        return CimError(
            CimStatus.TYPE_MISMATCH,
            f"{self.name} ({self.type}{'[]' * self.array}) {reason}",
            wbem=WBEM_E_TYPE_MISMATCH,
            names=[self.name],
        )


@dataclass(frozen=True)
class Property(Element):
    """A property. ``default`` and ``max_length`` are None where the MOF gives none."""

    key: bool = False
    writable: bool = False
    optional: bool = False
    max_length: int | None = None
    default: CimValue = None


@dataclass(frozen=True)
class Parameter(Element):
    """A method's parameter, in or out."""

    is_output: bool = False


@dataclass(frozen=True)
class Method:
    """A method; ``parameters`` are in declaration order, which equals their ID qualifiers."""

    name: str
    returns: CimType
    is_static: bool
    parameters: tuple[Parameter, ...]
    qualifiers: tuple[Qualifier, ...] = field(default=(), repr=False)
    _inputs: Mapping[str, Parameter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        inputs = _by_name(item for item in self.parameters if not item.is_output)
        object.__setattr__(self, "_inputs", inputs)

    @property
    def inputs(self) -> Iterable[Parameter]:
        """In-parameters in declaration order."""
        return self._inputs.values()

    @property
    def outputs(self) -> Iterable[Parameter]:
        """Out-parameters in declaration order."""
        return (item for item in self.parameters if item.is_output)

    def get_input(self, name: str) -> Parameter:
        """The in-parameter of that name; INVALID_PARAMETER when there is none."""
        found = self._inputs.get(name.lower())
        if found is None:
            raise CimError(
                CimStatus.INVALID_PARAMETER,
                f"{self.name} has no in-parameter {name}",
                wbem=WBEM_E_INVALID_METHOD_PARAMETERS,
                names=[name],
                problem="InvalidName",
            )
        return found


@dataclass(frozen=True)
class CimClass:
    """A class with its properties and methods in declaration order."""

    name: str
    properties: tuple[Property, ...]
    methods: tuple[Method, ...]
    qualifiers: tuple[Qualifier, ...] = field(default=(), repr=False)
    _properties: Mapping[str, Property] = field(init=False, repr=False, compare=False)
    _methods: Mapping[str, Method] = field(init=False, repr=False, compare=False)
    keys: tuple[Property, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_properties", _by_name(self.properties))
        object.__setattr__(self, "_methods", _by_name(self.methods))
        object.__setattr__(self, "keys", tuple(item for item in self.properties if item.key))

    def get_property(self, name: str) -> Property:
        """The property of that name; NO_SUCH_PROPERTY when there is none."""
        found = self._properties.get(name.lower())
        if found is None:
            raise CimError(
                CimStatus.NO_SUCH_PROPERTY,
                f"{self.name} has no property {name}",
                wbem=WBEM_E_INVALID_PROPERTY,
                names=[name],
                problem="InvalidName",
            )
        return found

    def get_method(self, name: str) -> Method:
        """The method of that name; METHOD_NOT_FOUND when there is none."""
        found = self._methods.get(name.lower())
        if found is None:
            raise CimError(
                CimStatus.METHOD_NOT_FOUND,
                f"{self.name} has no method {name}",
                wbem=WBEM_E_INVALID_METHOD,
                names=[name],
            )
        return found

    def get_key(self, name: str) -> Property:
        """The key of that name; KeysError Unexpected when there is none."""
        found = self._properties.get(name.lower())
        if found is None or not found.key:
            raise KeysError("Unexpected", f"{self.name} has no key {name}", [name])
        return found

    def parse_keys(self, pairs: Iterable[tuple[str, str]]) -> dict[str, CimValue]:
        """Keys from names and texts; KeysError Unexpected, Duplicate or TypeMismatch."""
        keys: dict[str, CimValue] = {}
        for name, text in pairs:
            key = self.get_key(name)
            if key.name in keys:
                raise KeysError("Duplicate", f"{key.name} is given twice", [key.name])
            try:
                keys[key.name] = key.parse(text)
            except CimError as error:
                raise KeysError("TypeMismatch", str(error), [key.name]) from error
        return keys

    def check_keys(self, keys: Mapping[str, CimValue]) -> dict[str, CimValue]:
        """All keys in the schema's order and spelling; KeysError when any is missing or wrong."""
        known = {self.get_key(name).name: value for name, value in keys.items()}
        missing = [key.name for key in self.keys if known.get(key.name) is None]
        if missing:
            raise KeysError("Insufficient", f"{self.name} needs {', '.join(missing)}", missing)
        for key in self.keys:
            key.check(known[key.name])
        return {key.name: known[key.name] for key in self.keys}


@dataclass(frozen=True)
class Schema:
    """The classes of one namespace, and the qualifiers that they may have."""

    namespace: str
    classes: tuple[CimClass, ...]
    qualifiers: tuple[QualifierDeclaration, ...] = ()
    _classes: Mapping[str, CimClass] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_classes", _by_name(self.classes))

    def get_class(self, name: str) -> CimClass:
        """The class of that name; INVALID_CLASS when there is none."""
        found = self._classes.get(name.lower())
        if found is None:
            raise CimError(
                CimStatus.INVALID_CLASS,
                f"{self.namespace} has no class {name}",
                wbem=WBEM_E_INVALID_CLASS,
                names=[name],
            )
        return found
