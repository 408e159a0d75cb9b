"""Random queries against a naive evaluator: what matches, and what the equalities promise."""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.widgets import SCHEMA, WIDGET
from openrdms.cim import wql
from openrdms.cim.object_manager import equal_ignoring_case
from openrdms.cim.types import CimInstance, render_scalar

TEXTS = st.text("aAb%_[]'\"\\ äÄ\n", max_size=4)
NUMBERS = st.integers(-2, 3)
TIMES = st.integers(0, 3).map(lambda day: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(day))

ROWS = st.fixed_dictionaries(
    {
        "Name": TEXTS,
        "Slot": st.integers(0, 3),
        "Text": st.none() | TEXTS,
        "Enabled": st.none() | st.booleans(),
        "Offset": st.none() | NUMBERS,
        "Serial": st.just(2**64 - 1),
        "Weight": st.none() | st.sampled_from([0.5, 1.0, -1.5]),
        "Made": st.none() | TIMES,
        "Lasts": st.none(),
        "Tags": st.none() | st.just(["a"]),
        "Octets": st.none(),
    }
)

SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

Meaning = Callable[[dict[str, Any]], bool | None]


@dataclass(frozen=True)
class Condition:
    """Text of a condition, and what it says of a row: True, False or, with a NULL, neither."""

    text: str
    holds: Meaning


def quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


def fold(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def comparing(name: str, sign: str, literal: Any) -> Meaning:
    def holds(row: dict[str, Any]) -> bool | None:
        return None if row[name] is None else SIGNS[sign](fold(row[name]), fold(literal))

    return holds


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    name, values, signs = draw(
        st.sampled_from(
            [
                ("Name", TEXTS, list(SIGNS)),
                ("Text", TEXTS, list(SIGNS)),
                ("Slot", st.integers(0, 3), list(SIGNS)),
                ("Offset", NUMBERS, list(SIGNS)),
                ("Weight", st.sampled_from([0.5, 1.0, -1.5, 2]), list(SIGNS)),
                ("Made", TIMES, list(SIGNS)),
                ("Enabled", st.booleans(), ["=", "<>", "!="]),
            ]
        )
    )
    literal, sign = draw(values), draw(st.sampled_from(signs))
    if isinstance(literal, str):
        text = quoted(literal, draw(st.sampled_from("'\"")))
    elif isinstance(literal, datetime):
        text = quoted(render_scalar(literal))
    else:
        plain = render_scalar(literal)
        text = draw(st.sampled_from([plain.upper(), quoted(plain)]))
    spelled = draw(st.sampled_from([name, name.upper(), name.lower()]))
    turned = f"{text} {MIRRORED.get(sign, sign)} {spelled}"
    written = draw(st.sampled_from([f"{spelled} {sign} {text}", f"{spelled}{sign}{text}", turned]))
    return Condition(written, comparing(name, sign, literal))


@st.composite
def null_tests(draw: st.DrawFn) -> Condition:
    name = draw(st.sampled_from(["Text", "Enabled", "Tags", "Octets", "Made"]))
    form, negated = draw(
        st.sampled_from(
            [("IS NULL", False), ("is not null", True), ("= null", False), ("!= NULL", True)]
        )
    )
    return Condition(f"{name} {form}", lambda row: (row[name] is None) is not negated)


@st.composite
def patterns(draw: st.DrawFn) -> Condition:
    """LIKE, meant as the shell's patterns mean it."""
    name = draw(st.sampled_from(["Name", "Text"]))
    parts = draw(
        st.lists(
            st.sampled_from(
                [
                    "%*",
                    "_?",
                    "aa",
                    "Bb",
                    "''",
                    "Ää",
                    ("[%]", "%"),
                    ("[a-b]", "[a-b]"),
                    ("[^a]", "[!a]"),
                ]
            ),
            max_size=4,
        )
    )
    shell = "".join(part[1] for part in parts)

    def holds(row: dict[str, Any]) -> bool | None:
        return None if row[name] is None else fnmatch.fnmatchcase(row[name].lower(), shell)

    return Condition(f"{name} LIKE {quoted(''.join(part[0] for part in parts))}", holds)


def both(left: Condition, right: Condition) -> Condition:
    def holds(row: dict[str, Any]) -> bool | None:
        found = {left.holds(row), right.holds(row)}
        return False if False in found else (None if None in found else True)

    return Condition(f"({left.text}) AND ({right.text})", holds)


def either(left: Condition, right: Condition) -> Condition:
    def holds(row: dict[str, Any]) -> bool | None:
        found = {left.holds(row), right.holds(row)}
        return True if True in found else (None if None in found else False)

    return Condition(f"({left.text} or {right.text})", holds)


def negated(inner: Condition) -> Condition:
    def holds(row: dict[str, Any]) -> bool | None:
        truth = inner.holds(row)
        return None if truth is None else not truth

    return Condition(f"NOT ({inner.text})", holds)


LEAVES = st.one_of(comparisons(), null_tests(), patterns())
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(both, inner, inner), st.builds(either, inner, inner), st.builds(negated, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(CONDITIONS, st.lists(ROWS, min_size=1, max_size=6))
def test_a_query_finds_what_it_means(condition: Condition, rows: list[dict[str, Any]]) -> None:
    query = wql.parse(f"SELECT * FROM Test_Widget WHERE {condition.text}", SCHEMA.get_class)
    for name, value in query.equalities.items():
        WIDGET.get_property(name).check(value)
    for row in rows:
        matches = query.matches(CimInstance("Test_Widget", row))
        assert matches is (condition.holds(row) is True)
        if matches:  # then a provider that keeps to the equalities does not lose it
            assert all(equal_ignoring_case(row[n], v) for n, v in query.equalities.items())


@given(comparisons(), comparisons())
def test_equalities_come_from_terms_that_must_hold(left: Condition, right: Condition) -> None:
    def equalities(where: str) -> dict[str, Any]:
        found = wql.parse(f"SELECT * FROM Test_Widget WHERE {where}", SCHEMA.get_class)
        return dict(found.equalities)

    joined = equalities(f"{left.text} AND {right.text}")
    assert joined == equalities(left.text) | equalities(right.text)
    for where in (
        f"{left.text} OR {right.text}",
        f"NOT {left.text}",
        f"NOT ({left.text} AND {right.text})",
    ):
        assert equalities(where) == {}
