"""WQL data queries: SELECT ... FROM class WHERE ..., as WMI answers them.

Grammar (keywords, class and property names in any case)::

    query     = SELECT ( "*" | name { "," name } ) FROM name [ WHERE any ]
    any       = all { OR all }
    all       = not { AND not }
    not       = NOT not | "(" any ")" | predicate
    predicate = operand ( "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=" ) operand
              | name LIKE string | name IS [ NOT ] NULL
    operand   = name | string | number | TRUE | FALSE | NULL

Text compares ignoring case. ``= NULL`` and ``<> NULL`` mean IS [NOT] NULL; any other comparison
with a NULL is neither true nor false, as in SQL. In a string a backslash escapes a quote or a
backslash and is itself before anything else, because clients write DOMAIN\\user unescaped.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from openrdms.cim import like
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.schema import CimClass, Property
from openrdms.cim.types import CimInstance, CimScalar, CimType, CimValue

MAX_LENGTH = 8192
"""Characters of a query."""
MAX_PREDICATES = 128
MAX_DEPTH = 32
"""Of parentheses and NOTs inside each other."""

WBEM_E_INVALID_QUERY = 0x80041017

Truth = bool | None
Values = Mapping[str, CimValue]
Condition = Callable[[Values], Truth]
_Comparison = Callable[[CimScalar, CimScalar], bool]

_COMPARISONS: dict[str, _Comparison] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ONLY_EQUALITY = frozenset({"=", "<>", "!="})
_TOKEN = re.compile(
    r"""\s+
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}(?:\.[0-9]{1,20})?)(?![\w.]))
      | (?P<word>[A-Za-z_]\w{0,255})
      | (?P<mark><>|!=|<=|>=|[=<>(),*])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\([\\'\"])")
_KEYWORDS = frozenset(
    {"select", "from", "where", "and", "or", "not", "like", "is", "null", "true", "false"}
)


@dataclass(frozen=True)
class Query:
    """A query bound to its class. ``properties`` is None for ``*``.

    ``equalities`` are values that properties have in every instance that matches, by property.
    """

    class_name: str
    properties: tuple[str, ...] | None
    condition: Condition | None = None
    equalities: Mapping[str, CimScalar] = field(default_factory=dict)

    def matches(self, instance: CimInstance) -> bool:
        """True when the WHERE clause holds."""
        return self.condition is None or self.condition(instance.properties) is True


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


@dataclass(frozen=True)
class _Literal:
    value: CimScalar | None


_Operand = Property | _Literal


@dataclass(frozen=True)
class _Term:
    """A part of the condition, and the equalities that hold wherever it does."""

    holds: Condition
    equalities: Mapping[str, CimScalar] = field(default_factory=dict)


def parse(text: str, get_class: Callable[[str], CimClass]) -> Query:
    """Read a query against the schema; CimError INVALID_QUERY says what is wrong with it.

    ``get_class`` is asked for the class named in FROM, and its error is passed on.
    """
    if len(text) > MAX_LENGTH:
        raise _invalid(f"it has more than {MAX_LENGTH} characters")
    return _Parser(text, get_class).read()


def _invalid(reason: str) -> CimError:
    return CimError(CimStatus.INVALID_QUERY, f"WQL: {reason}", wbem=WBEM_E_INVALID_QUERY)


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _invalid(f"cannot read {text[position : position + 20]!r}")
        position = match.end()
        if match.lastgroup:
            yield _Token(match.lastgroup, match[0])
    yield _Token("end", "the end")


class _Parser:
    """Recursive descent over the grammar above, building conditions as functions."""

    def __init__(self, text: str, get_class: Callable[[str], CimClass]) -> None:
        self._rest = _tokens(text)
        self._next = next(self._rest)
        self._get_class = get_class
        self._predicates = 0
        self._depth = 0

    def read(self) -> Query:
        self._expect("select")
        names = self._names()
        self._expect("from")
        self._class = self._get_class(self._name())
        properties = None if names is None else tuple(self._property(n).name for n in names)
        term = self._any() if self._skip("where") else None
        if self._next.kind != "end":
            raise _invalid(f"{self._next.text!r} is too much")
        if term is None:
            return Query(self._class.name, properties)
        return Query(self._class.name, properties, term.holds, term.equalities)

    def _names(self) -> list[str] | None:
        if self._skip("*"):
            return None
        names = [self._name()]
        while self._skip(","):
            names.append(self._name())
        return names

    def _any(self) -> _Term:
        terms = [self._all()]
        while self._skip("or"):
            terms.append(self._all())
        return _joined(terms, decisive=True)

    def _all(self) -> _Term:
        terms = [self._not()]
        while self._skip("and"):
            terms.append(self._not())
        return _joined(terms, decisive=False)

    def _not(self) -> _Term:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _invalid(f"it nests deeper than {MAX_DEPTH}")
        if self._skip("not"):
            term = _Term(_negate(self._not().holds))
        elif self._skip("("):
            term = self._any()
            self._expect(")")
        else:
            term = self._predicate()
        self._depth -= 1
        return term

    def _predicate(self) -> _Term:
        self._predicates += 1
        if self._predicates > MAX_PREDICATES:
            raise _invalid(f"it has more than {MAX_PREDICATES} conditions")
        left = self._operand()
        if isinstance(left, Property) and self._skip("like"):
            return _Term(self._like(left))
        if isinstance(left, Property) and self._skip("is"):
            negated = self._skip("not")
            self._expect("null")
            return _Term(_null_test(left.name, negated=negated))
        sign = self._advance().text
        if sign not in _COMPARISONS:
            raise _invalid(f"{sign!r} where a comparison was expected")
        return _comparison(left, sign, self._operand())

    def _like(self, item: Property) -> Condition:
        if item.type is not CimType.STRING or item.array:
            raise _invalid(f"LIKE needs a string, and {item.name} is none")
        if self._next.kind != "string":
            raise _invalid(f"{self._next.text!r} where a pattern was expected")
        try:
            pattern = like.parse(_unquote(self._advance().text))
        except ValueError as error:
            raise _invalid(str(error)) from error
        name = item.name
        return lambda values: _like_test(pattern, values.get(name))

    def _operand(self) -> _Operand:
        token = self._next
        word = token.text.lower()
        if token.kind == "string":
            self._advance()
            return _Literal(_unquote(token.text))
        if token.kind == "number":
            self._advance()
            return _Literal(float(word) if "." in word else int(word, 16 if "x" in word else 10))
        if word in ("true", "false", "null"):
            self._advance()
            return _Literal({"true": True, "false": False}.get(word))
        return self._property(self._name())

    def _property(self, name: str) -> Property:
        if name.startswith("__"):
            raise _invalid(f"system properties such as {name} are not known")
        try:
            return self._class.get_property(name)
        except CimError as error:
            raise _invalid(str(error)) from error

    def _name(self) -> str:
        token = self._advance()
        if token.kind != "word" or token.text.lower() in _KEYWORDS:
            raise _invalid(f"{token.text!r} where a name was expected")
        if self._next.text == "(":
            raise _invalid(f"functions such as {token.text} are not known")
        return token.text

    def _expect(self, text: str) -> None:
        if not self._skip(text):
            raise _invalid(f"{self._next.text!r} where {text.upper()} was expected")

    def _skip(self, text: str) -> bool:
        if self._next.kind not in ("word", "mark") or self._next.text.lower() != text:
            return False
        self._advance()
        return True

    def _advance(self) -> _Token:
        token = self._next
        if token.kind == "end":
            raise _invalid("it ends too early")
        self._next = next(self._rest)
        return token


def _unquote(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1])


def _joined(terms: list[_Term], *, decisive: bool) -> _Term:
    """OR for True, AND for False: the decisive value wins, then unknown, then the other one."""
    conditions = [term.holds for term in terms]

    def joined(values: Values) -> Truth:
        result: Truth = not decisive
        for condition in conditions:
            truth = condition(values)
            if truth is decisive:
                return decisive
            if truth is None:
                result = None
        return result

    if len(terms) == 1:
        return terms[0]
    certain = {} if decisive else {k: v for term in terms for k, v in term.equalities.items()}
    return _Term(joined, certain)


def _negate(term: Condition) -> Condition:
    def negated(values: Values) -> Truth:
        truth = term(values)
        return None if truth is None else not truth

    return negated


def _null_test(name: str, *, negated: bool) -> Condition:
    return lambda values: (values.get(name) is None) is not negated


def _like_test(pattern: like.Pattern, value: CimValue) -> Truth:
    return like.matches(pattern, value) if isinstance(value, str) else None


def _comparison(left: _Operand, sign: str, right: _Operand) -> _Term:
    if isinstance(left, _Literal):
        if isinstance(right, _Literal):
            raise _invalid("a condition needs a property")
        return _comparison(right, _MIRRORED.get(sign, sign), left)
    if isinstance(right, _Literal):
        if right.value is None:
            return _Term(_null_comparison(left.name, sign))
        literal = _convert(left, right.value)
        condition = _literal_comparison(left, sign, _fold(literal))
        return _Term(condition, _equality(left, literal) if sign == "=" else {})
    return _Term(_property_comparison(left, sign, right))


def _equality(item: Property, literal: CimScalar) -> Mapping[str, CimScalar]:
    """None for a literal that no value of the property's type equals exactly, as 1.5 or -1."""
    try:
        item.check(literal)
    except CimError:
        return {}
    return {item.name: literal}


def _null_comparison(name: str, sign: str) -> Condition:
    if sign not in _ONLY_EQUALITY:
        raise _invalid(f"NULL cannot be compared by {sign}")
    return _null_test(name, negated=sign != "=")


def _literal_comparison(item: Property, sign: str, literal: CimScalar) -> Condition:
    compare = _checked_comparison(item, sign)
    name = item.name

    def condition(values: Values) -> Truth:
        value = values.get(name)
        if value is None or isinstance(value, list):
            return None
        return _compare(compare, value, literal)

    return condition


def _property_comparison(left: Property, sign: str, right: Property) -> Condition:
    if (left.type is CimType.STRING) != (right.type is CimType.STRING) or right.array:
        raise _invalid(f"{left.name} and {right.name} cannot be compared")
    compare = _checked_comparison(left, sign)

    def condition(values: Values) -> Truth:
        one, other = values.get(left.name), values.get(right.name)
        if one is None or other is None or isinstance(one, list) or isinstance(other, list):
            return None
        return _compare(compare, one, other)

    return condition


def _compare(compare: _Comparison, left: CimScalar, right: CimScalar) -> Truth:
    try:
        return compare(_fold(left), _fold(right))
    except TypeError:  # a point in time and an interval have no order
        return None


def _checked_comparison(item: Property, sign: str) -> _Comparison:
    if item.array:
        raise _invalid(f"{item.name} is an array and can only be compared with NULL")
    if item.type is CimType.BOOLEAN and sign not in _ONLY_EQUALITY:
        raise _invalid(f"{item.name} is a boolean and has no order")
    return _COMPARISONS[sign]


def _convert(item: Property, literal: CimScalar) -> CimScalar:
    """The literal as the property's type, as WMI converts it: '1' = 1, 'TRUE' = TRUE."""
    if item.type in (CimType.STRING, CimType.CHAR16):
        return str(literal)
    if isinstance(literal, (int, float)) and not isinstance(literal, bool):
        return _convert_number(item, literal)
    try:
        return item.parse(str(literal))
    except CimError as error:
        raise _invalid(str(error)) from error


def _convert_number(item: Property, literal: float) -> CimScalar:
    if item.type is CimType.DATETIME or (item.type is CimType.BOOLEAN and literal not in (0, 1)):
        raise _invalid(f"{item.name} cannot be compared with a number")
    return literal


def _fold(value: CimScalar) -> CimScalar:
    return value.lower() if isinstance(value, str) else value
