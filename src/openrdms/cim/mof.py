"""Reads the part of MOF (DSP0221) that declares classes: qualifiers, properties, methods.

pywbem has a complete compiler, but importing it takes longer than the service's whole start;
the tests compile the same file with it and compare.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from openrdms.cim.schema import (
    CimClass,
    Flavor,
    Method,
    Parameter,
    Property,
    Qualifier,
    QualifierDeclaration,
    Schema,
)
from openrdms.cim.types import CimScalar, CimType, CimValue

_TOKEN = re.compile(
    r"""\s+ | //[^\n]* | /\*.*?\*/ | \#pragma[^\n]*
      | (?P<string>"(?:[^"\\]|\\.)*") | (?P<number>[+-]?[0-9]+) | (?P<word>\w+)
      | (?P<mark>[\[\](){}:;,=])""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}

_GUESSED = {bool: CimType.BOOLEAN, int: CimType.SINT32, str: CimType.STRING}
"""Types of qualifiers that the text does not declare."""
_FLAVORS = {
    "enableoverride": {"overridable": True},
    "disableoverride": {"overridable": False},
    "tosubclass": {"to_subclass": True},
    "restricted": {"to_subclass": False},
    "translatable": {"translatable": True},
}

Qualifiers = dict[str, Qualifier]
"""By name in lower case, in the order of the text."""


class MofError(ValueError):
    """The text is not the MOF this reader knows; the message names the line."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


def parse_classes(text: str) -> tuple[CimClass, ...]:
    """Every class declared in ``text``, in order; MofError when it cannot be read."""
    return tuple(_Reader(text).read_classes())


def parse_schema(namespace: str, text: str) -> Schema:
    """The classes and qualifier types of ``text`` as the schema of a namespace; MofError."""
    reader = _Reader(text)
    classes = tuple(reader.read_classes())
    return Schema(namespace, classes, tuple(reader.declared.values()))


def _tokens(text: str) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise MofError(f"line {line}: {text[position]!r} is not MOF")
        if match.lastgroup:
            yield _Token(match.lastgroup, match[0], line)
        line += match[0].count("\n")
        position = match.end()
    yield _Token("end", "", line)


class _Reader:
    """Recursive descent, one token ahead. Names match the grammar's productions."""

    def __init__(self, text: str) -> None:
        self._rest = _tokens(text)
        self._next = next(self._rest)
        self.declared: dict[str, QualifierDeclaration] = {}

    def read_classes(self) -> Iterator[CimClass]:
        while self._next.kind != "end":
            qualifiers = self._qualifier_list()
            if self._skip("Qualifier"):
                self._qualifier_declaration()
            else:
                self._expect("class")
                yield self._class(qualifiers)

    def _class(self, qualifiers: Qualifiers) -> CimClass:
        name = self._take("word")
        self._expect("{")
        properties: list[Property] = []
        methods: list[Method] = []
        while not self._skip("}"):
            feature = self._feature()
            if isinstance(feature, Property):
                properties.append(feature)
            else:
                methods.append(feature)
        self._expect(";")
        return CimClass(name, tuple(properties), tuple(methods), tuple(qualifiers.values()))

    def _feature(self) -> Property | Method:
        qualifiers = self._qualifier_list()
        cim_type, name = self._type(), self._take("word")
        if self._next.text == "(":
            return self._method(qualifiers, cim_type, name)
        array = self._array_mark()
        default = self._value() if self._skip("=") else None
        self._expect(";")
        max_length = _value_of(qualifiers, "maxlen")
        return Property(
            name,
            cim_type,
            array,
            qualifiers=tuple(qualifiers.values()),
            key=_value_of(qualifiers, "key") is True,
            writable=_value_of(qualifiers, "write") is True,
            optional=_value_of(qualifiers, "optional") is True,
            max_length=max_length if isinstance(max_length, int) else None,
            default=default,
        )

    def _method(self, qualifiers: Qualifiers, returns: CimType, name: str) -> Method:
        self._expect("(")
        parameters: list[tuple[CimValue, Parameter]] = []
        while not self._skip(")"):
            parameters.append(self._parameter())
            self._skip(",")
        self._expect(";")
        if [number for number, _ in parameters] != list(range(len(parameters))):
            raise MofError(f"{name}: the ID qualifiers do not count the parameters from 0")
        return Method(
            name,
            returns,
            _value_of(qualifiers, "static") is True,
            tuple(item for _, item in parameters),
            tuple(qualifiers.values()),
        )

    def _parameter(self) -> tuple[CimValue, Parameter]:
        qualifiers = self._qualifier_list()
        cim_type, name = self._type(), self._take("word")
        parameter = Parameter(
            name,
            cim_type,
            self._array_mark(),
            qualifiers=tuple(qualifiers.values()),
            is_output=_value_of(qualifiers, "out") is True,
        )
        return _value_of(qualifiers, "id"), parameter

    def _qualifier_list(self) -> Qualifiers:
        qualifiers: Qualifiers = {}
        if self._skip("["):
            while not self._skip("]"):
                name = self._take("word")
                qualifiers[name.lower()] = self._qualifier(name, self._qualifier_value())
                self._skip(",")
        return qualifiers

    def _qualifier(self, name: str, value: CimValue) -> Qualifier:
        declared = self.declared.get(name.lower())
        if declared is not None:
            return Qualifier(declared.name, declared.type, value, declared.flavor)
        first = next(iter(value), None) if isinstance(value, list) else value
        return Qualifier(name, _GUESSED.get(type(first), CimType.STRING), value)

    def _qualifier_value(self) -> CimValue:
        if self._skip("("):
            value = self._value()
            self._expect(")")
            return value
        return self._value() if self._next.text == "{" else True

    def _qualifier_declaration(self) -> None:
        name = self._take("word")
        self._expect(":")
        cim_type, array = self._type(), self._array_mark()
        default = self._value() if self._skip("=") else None
        self._expect(",")
        self._expect("scope")
        scopes = tuple(self._words())
        flavor = Flavor()
        if self._skip(","):
            self._expect("flavor")
            flavor = self._flavor()
        self._expect(";")
        self.declared[name.lower()] = QualifierDeclaration(
            name, cim_type, array, default, scopes, flavor
        )

    def _flavor(self) -> Flavor:
        chosen: dict[str, bool] = {}
        for word in self._words():
            if word not in _FLAVORS:
                raise MofError(f"line {self._next.line}: {word!r} is not a flavor")
            chosen |= _FLAVORS[word]
        return Flavor(**chosen)

    def _words(self) -> Iterator[str]:
        """Words in parentheses, in lower case."""
        self._expect("(")
        while not self._skip(")"):
            yield self._take("word").lower()
            self._skip(",")

    def _type(self) -> CimType:
        token = self._advance()
        try:
            return CimType(token.text.lower())
        except ValueError as error:
            raise MofError(f"line {token.line}: {token.text!r} is not a type") from error

    def _array_mark(self) -> bool:
        if self._skip("["):
            self._expect("]")
            return True
        return False

    def _value(self) -> CimValue:
        if not self._skip("{"):
            return self._scalar()
        items: list[CimScalar | None] = []
        while not self._skip("}"):
            items.append(self._scalar())
            self._skip(",")
        return items

    def _scalar(self) -> CimScalar | None:
        token = self._advance()
        if token.kind == "number":
            return int(token.text)
        if token.kind == "word" and token.text.lower() in _WORDS:
            return _WORDS[token.text.lower()]
        if token.kind != "string":
            raise MofError(f"line {token.line}: {token.text!r} is not a value")
        text = str(ast.literal_eval(token.text))
        while self._next.kind == "string":
            text += str(ast.literal_eval(self._advance().text))
        return text

    def _take(self, kind: str) -> str:
        token = self._advance()
        if token.kind != kind:
            raise MofError(f"line {token.line}: {token.text!r} where a {kind} was expected")
        return token.text

    def _expect(self, text: str) -> None:
        token = self._advance()
        if token.text.lower() != text:
            raise MofError(f"line {token.line}: {token.text!r} where {text!r} was expected")

    def _skip(self, text: str) -> bool:
        if self._next.text.lower() != text.lower() or self._next.kind == "string":
            return False
        self._advance()
        return True

    def _advance(self) -> _Token:
        token = self._next
        if token.kind == "end":
            raise MofError(f"line {token.line}: the text ends too early")
        self._next = next(self._rest)
        return token


def _value_of(qualifiers: Qualifiers, name: str) -> CimValue:
    found = qualifiers.get(name)
    return None if found is None else found.value
