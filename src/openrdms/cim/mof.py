"""Reads the part of MOF (DSP0221) that declares classes: qualifiers, properties, methods.

pywbem has a complete compiler, but importing it takes longer than the service's whole start;
the tests compile the same file with it and compare.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from openrdms.cim.schema import CimClass, Method, Parameter, Property
from openrdms.cim.types import CimScalar, CimType, CimValue

_TOKEN = re.compile(
    r"""\s+ | //[^\n]* | /\*.*?\*/ | \#pragma[^\n]*
      | (?P<string>"(?:[^"\\]|\\.)*") | (?P<number>[+-]?[0-9]+) | (?P<word>\w+)
      | (?P<mark>[\[\](){}:;,=])""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}

Qualifiers = dict[str, CimValue]


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

    def read_classes(self) -> Iterator[CimClass]:
        while self._next.kind != "end":
            self._qualifier_list()
            if self._skip("Qualifier"):
                self._qualifier_declaration()
            else:
                self._expect("class")
                yield self._class()

    def _class(self) -> CimClass:
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
        return CimClass(name, tuple(properties), tuple(methods))

    def _feature(self) -> Property | Method:
        qualifiers = self._qualifier_list()
        cim_type, name = self._type(), self._take("word")
        if self._next.text == "(":
            return self._method(qualifiers, cim_type, name)
        array = self._array_mark()
        default = self._value() if self._skip("=") else None
        self._expect(";")
        max_length = qualifiers.get("maxlen")
        return Property(
            name,
            cim_type,
            array,
            key="key" in qualifiers,
            writable="write" in qualifiers,
            optional="optional" in qualifiers,
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
        return Method(name, returns, "static" in qualifiers, tuple(item for _, item in parameters))

    def _parameter(self) -> tuple[CimValue, Parameter]:
        qualifiers = self._qualifier_list()
        cim_type, name = self._type(), self._take("word")
        parameter = Parameter(name, cim_type, self._array_mark(), is_output="out" in qualifiers)
        return qualifiers.get("id"), parameter

    def _qualifier_list(self) -> Qualifiers:
        qualifiers: Qualifiers = {}
        if self._skip("["):
            while not self._skip("]"):
                name = self._take("word").lower()
                qualifiers[name] = self._qualifier_value()
                self._skip(",")
        return qualifiers

    def _qualifier_value(self) -> CimValue:
        if self._skip("("):
            value = self._value()
            self._expect(")")
            return value
        return self._value() if self._next.text == "{" else True

    def _qualifier_declaration(self) -> None:
        while not self._skip(";"):
            self._advance()

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
