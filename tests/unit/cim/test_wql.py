import re
import string
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.widgets import SCHEMA, WIDGET
from openrdms.cim import like, wql
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.types import CimInstance, CimValue

VALUES: dict[str, CimValue] = {
    "Name": "Vdi-01",
    "Slot": 2,
    "Text": "CONTOSO\\anna",
    "Enabled": True,
    "Offset": -5,
    "Serial": 2**64 - 1,
    "Weight": 1.5,
    "Made": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "Lasts": timedelta(minutes=5),
    "Tags": ["a"],
    "Octets": None,
}


def select(where: str, values: dict[str, CimValue] | None = None) -> bool:
    query = wql.parse(f"SELECT * FROM Test_Widget WHERE {where}", SCHEMA.get_class)
    return query.matches(CimInstance("Test_Widget", VALUES if values is None else values))


@pytest.mark.parametrize(
    "where",
    [
        "Name = 'VDI-01'",
        'NAME="vdi-01"',
        "name <> 'vdi-02'",
        "name != 'vdi-02'",
        "name > 'VDI'",
        "name LIKE 'v%'",
        "name like '%-0[0-9]'",
        "name like 'vd_-[^1]1'",
        "Slot = 2 AND Offset = -5",
        "Slot=2",
        "2 = Slot",
        "3 > Slot",
        "Slot < 3 and Slot <= 2 and Slot >= 2 and Slot > 1",
        "Slot = '2'",
        "Slot = 0x2",
        "Slot < 2.5",
        "Enabled = TRUE",
        "Enabled = 'true'",
        "Enabled = 1",
        "Enabled <> false",
        "Serial = 18446744073709551615",
        "Weight = 1.5",
        "Text = 'contoso\\anna'",
        "Text = 'contoso\\\\anna'",
        "Made = '20260102030405.000000+000'",
        "Made > '2025-01-01T00:00:00Z'",
        "Lasts = 'PT5M'",
        "Octets IS NULL",
        "Octets = NULL",
        "Tags IS NOT NULL",
        "Tags != null",
        "NOT Slot = 3",
        "NOT (Slot = 3 OR Slot = 4)",
        "Slot = 9 AND Slot = 9 OR Slot = 2",
        "Slot = 2 OR Slot = 9 AND Slot = 9",
        "NOT NOT Slot = 2",
        "Name <> Text",
        "Slot > Offset",
    ],
)
def test_true(where: str) -> None:
    assert select(where)


@pytest.mark.parametrize(
    "where",
    [
        "Name = 'vdi-02'",
        "Slot = 3",
        "Octets IS NOT NULL",
        "Name LIKE 'vdi'",
        "Made < 'PT5M'",
        "NOT Made < 'PT5M'",
        "Slot = 9 OR Slot = 2 AND Slot = 9",
    ],
)
def test_false(where: str) -> None:
    assert not select(where)


@pytest.mark.parametrize("sign", ["=", "<>", "<", ">="])
def test_a_null_is_neither_equal_nor_different(sign: str) -> None:
    assert not select(f"Text {sign} 'x'", {"Text": None})
    assert not select(f"NOT Text {sign} 'x'", {"Text": None})
    assert select(f"Text {sign} 'x' OR Slot = 1", {"Text": None, "Slot": 1})
    assert not select("Text LIKE '%'", {"Text": None})


def test_projections_and_names_have_the_schemas_spelling() -> None:
    query = wql.parse("select  NAME ,slot from TEST_widget", SCHEMA.get_class)
    assert (query.class_name, query.properties) == ("Test_Widget", ("Name", "Slot"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT",
        "SELECT FROM Test_Widget",
        "SELECT * FROM",
        "SELECT * Test_Widget",
        "SELECT * FROM Test_Widget WHERE",
        "SELECT * FROM Test_Widget WHERE Name",
        "SELECT * FROM Test_Widget WHERE Name =",
        "SELECT * FROM Test_Widget WHERE Name = 'x",
        "SELECT * FROM Test_Widget WHERE Name = 'it's'",
        "SELECT * FROM Test_Widget WHERE (Name = 'x'",
        "SELECT * FROM Test_Widget WHERE Name = 'x')",
        "SELECT * FROM Test_Widget WHERE Colour = 'x'",
        "SELECT Colour FROM Test_Widget",
        "SELECT * FROM Test_Widget WHERE Name LIKE 5",
        "SELECT * FROM Test_Widget WHERE Slot LIKE '5'",
        "SELECT * FROM Test_Widget WHERE Name LIKE '[a'",
        "SELECT * FROM Test_Widget WHERE Slot = 'many'",
        "SELECT * FROM Test_Widget WHERE Slot > NULL",
        "SELECT * FROM Test_Widget WHERE Enabled > TRUE",
        "SELECT * FROM Test_Widget WHERE Enabled = 2",
        "SELECT * FROM Test_Widget WHERE Made = 5",
        "SELECT * FROM Test_Widget WHERE Tags = 'a'",
        "SELECT * FROM Test_Widget WHERE Name = Slot",
        "SELECT * FROM Test_Widget WHERE Name = Tags",
        "SELECT * FROM Test_Widget WHERE 1 = 1",
        "SELECT * FROM Test_Widget WHERE Name IS 'x'",
        "SELECT * FROM Test_Widget; DROP",
        "SELECT * FROM Test_Widget WHERE Name = 'x' ORDER BY Name",
        "DELETE FROM Test_Widget",
        "SELECT * FROM Test_Widget WHERE Slot = 12abc",
        f"SELECT * FROM Test_Widget WHERE {'(' * 40}Slot = 1{')' * 40}",
        f"SELECT * FROM Test_Widget WHERE {'NOT ' * 40}Slot = 1",
        f"SELECT * FROM Test_Widget WHERE {' OR '.join(['Slot=1'] * 129)}",
        f"SELECT * FROM Test_Widget WHERE Name = '{'x' * 9000}'",
    ],
)
def test_a_wrong_query_is_an_invalid_query(text: str) -> None:
    with pytest.raises(CimError) as caught:
        wql.parse(text, SCHEMA.get_class)
    assert caught.value.status is CimStatus.INVALID_QUERY


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT COUNT(*) FROM Test_Widget", "functions such as COUNT are not known"),
        ("SELECT * FROM Test_Widget WHERE UPPER(Name) = 'X'", "functions such as UPPER"),
        ("SELECT __CLASS FROM Test_Widget", "system properties such as __CLASS"),
        ("SELECT * FROM Test_Widget WHERE __NAMESPACE = 'x'", "such as __NAMESPACE"),
        ("ASSOCIATORS OF {Test_Widget.Name='x'}", "'ASSOCIATORS' where SELECT was expected"),
        ("SELECT * FROM Test_Widget GROUP BY Name", "'GROUP' is too much"),
        ("SELECT * FROM Test_Widget WHERE Name = 5 5", "'5' is too much"),
    ],
)
def test_what_is_refused_is_named(text: str, words: str) -> None:
    with pytest.raises(CimError, match=re.escape(words)) as caught:
        wql.parse(text, SCHEMA.get_class)
    assert caught.value.status is CimStatus.INVALID_QUERY


def test_an_unknown_class_is_said_to_be_one() -> None:
    with pytest.raises(CimError) as caught:
        wql.parse("SELECT * FROM Test_Gadget", SCHEMA.get_class)
    assert caught.value.status is CimStatus.INVALID_CLASS


KEYWORDS = "SELECT FROM WHERE AND OR NOT LIKE IS NULL TRUE".split()  # noqa: SIM905 - readable
WORDS = st.sampled_from([*KEYWORDS, *"*=(),<'\\[1", "'x'", "Test_Widget", "Name", "Slot", "Made"])


@given(st.one_of(st.text(), st.lists(WORDS).map(" ".join)))
def test_any_text_is_a_query_or_a_cim_error(text: str) -> None:
    try:
        query = wql.parse(text, SCHEMA.get_class)
    except CimError:
        return
    query.matches(CimInstance("Test_Widget", VALUES))


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, bool]:
    """A condition on Slot = 2 as WQL, and what Python thinks of it."""
    leaf = st.tuples(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), st.integers(0, 4))

    def meaning(sign: str, number: int) -> bool:
        python = {"=": "==", "<>": "!="}.get(sign, sign)
        return bool(eval(f"2 {python} {number}"))

    leaves = leaf.map(lambda pair: (f"Slot {pair[0]} {pair[1]}", meaning(*pair)))
    return draw(
        st.recursive(
            leaves,
            lambda inner: st.one_of(
                inner.map(lambda one: (f"NOT ({one[0]})", not one[1])),
                st.tuples(inner, inner).map(
                    lambda two: (
                        (f"({two[0][0]}) AND {two[1][0]}", two[0][1] and two[1][1])
                        if " OR " not in two[1][0]
                        else (f"({two[0][0]}) AND ({two[1][0]})", two[0][1] and two[1][1])
                    )
                ),
                st.tuples(inner, inner).map(
                    lambda two: (f"{two[0][0]} OR {two[1][0]}", two[0][1] or two[1][1])
                ),
            ),
            max_leaves=12,
        )
    )


@given(conditions())
def test_conditions_mean_what_they_mean_in_python(condition: tuple[str, bool]) -> None:
    text, meaning = condition
    assert select(text) is meaning


@given(st.text(string.printable, max_size=20))
def test_a_quoted_text_is_found_again(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert select(f"Text = '{quoted}'", {"Text": text})


PATTERNS = st.lists(st.sampled_from(["a", "B", "-", "%", "_", "[a-c]", "[^b]", "."]), max_size=8)


def as_regex(parts: list[str]) -> str:
    known = {"%": ".*", "_": ".", "[a-c]": "[a-c]", "[^b]": "[^b]"}
    return "".join(known.get(part) or re.escape(part) for part in parts)


@given(PATTERNS, st.text("abcB-.", max_size=12))
def test_like_agrees_with_a_regular_expression(parts: list[str], text: str) -> None:
    expected = re.fullmatch(as_regex(parts), text, re.IGNORECASE | re.DOTALL) is not None
    assert like.matches(like.parse("".join(parts)), text) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("[a-]", "-", True),
        ("[]]", "]", True),
        ("[^]", "^", True),
        ("[a-c-]x", "-x", True),
        ("%", "", True),
        ("_", "", False),
        ("%%%", "anything", True),
        ("ÄR%", "ärger", True),
    ],
)
def test_corners_of_like(pattern: str, text: str, expected: bool) -> None:
    assert like.matches(like.parse(pattern), text) is expected


def test_no_pattern_is_slow() -> None:
    pattern = like.parse("%a" * 2000 + "b")
    used = time.thread_time()
    assert not like.matches(pattern, "a" * 5000)
    assert time.thread_time() - used < 8


def test_many_conditions_are_taken() -> None:
    assert select(" OR ".join(["Slot=1"] * 127 + ["Slot=2"]))
    assert WIDGET.name == "Test_Widget"
